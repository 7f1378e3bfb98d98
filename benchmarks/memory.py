"""Estimated memory of a training step on a GPU, for each policy of `remat`, without a GPU.

    python -m benchmarks.memory [--frames 64] [--size 384] [--clips 1] [CONFIG ...]

Nothing is compiled or computed. Steps are traced as on a GPU that has cuDNN, so long sequences take
its fused attention, and their memory is estimated as `tools.find_batch` does. The estimate was not
compared with a GPU. Gradients, Adam's two moments and all parameters are included.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import jax
from jax._src.cudnn import fused_attention_stablehlo as cudnn

from benchmarks import rows
from jaxvid import cli
from jaxvid.config import plain
from jaxvid.distributed import mesh
from jaxvid.ops import attention
from jaxvid.train import estimate
from jaxvid.train.plan import rehearse

CONFIGS = ("swin_k400:tiny", "videomae_k400:base", "videomae_k400:large")
POLICIES = (False, "dots", True)


@contextmanager
def like_a_gpu() -> Iterator[None]:
    """Let steps be traced as on a GPU with a cuDNN that supports their attention."""
    with (
        mock.patch.object(jax, "default_backend", lambda: "gpu"),
        mock.patch.object(cudnn, "check_cudnn_version", lambda: 91_000),
        mock.patch.object(cudnn, "check_compute_capability", lambda capability: True),
        mock.patch.object(attention, "_probe_cudnn", lambda *case: ""),
    ):
        yield


def needed(name: str, frames: int, size: int, clips: int, policy: bool | str) -> float:
    """Return the estimated memory of a step on a device in GiB.

    Args:
      name: A config.
      frames: Frames of a clip.
      size: Height and width of a clip in pixels.
      clips: Clips of a step on a device.
      policy: Value of `config.model.remat`.
    """
    clip = {"frames": frames, "size": size}
    flags = {"batch": clips * jax.device_count(), "model.remat": policy, "data.recipe.repeats": 1}
    flags |= {f"data.recipe.{key}": value for key, value in clip.items()}
    flags |= {"data.recipe.short_side": size, "data.recipe.test_short_side": size}
    model = plain(cli.config(name, []))["model"]
    flags |= {f"model.{key}": value for key, value in clip.items() if key in model}
    config = cli.config(name, [f"--config.{key}={value}" for key, value in flags.items()])
    with like_a_gpu():
        planned, _, batch = rehearse(config, mesh.build())
        return estimate.training(planned, batch) / 2**30


def main(argv: list[str] | None = None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", nargs="*", default=CONFIGS, metavar="CONFIG")
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--clips", type=int, default=1)
    args = parser.parse_args(argv)

    def job(name: str) -> rows.Row:
        clip = args.frames, args.size, args.clips
        return {f"remat={policy}": f"{needed(name, *clip, policy):.1f}" for policy in POLICIES}

    columns = ("config", *(f"remat={policy}" for policy in POLICIES))
    rows.measure(
        (({"config": name}, lambda name=name: job(name)) for name in args.configs), columns
    )


if __name__ == "__main__":
    main()
