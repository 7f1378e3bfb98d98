"""The same run by one process, two and four, in every layout: the table of their differences.

    python -m tests.multihost [--layouts replicated fsdp tensor tensor4]

Four devices in all. Each run trains 12 steps on clips of the quickstart, with dropout, mixup,
accumulation and a moving average, evaluates, and is evaluated again by `--mode eval` with as many
processes. A row shows the largest differences from one process in data parallel: of the losses, of
the parameters of all checkpoints, of the scores of all samples. Top-1 and the like, in evaluations
during training, must be equal.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.multihost import runs

LAYOUTS = {
    "replicated": ("--config.sharding=replicated",),
    "fsdp": ("--config.sharding=fsdp",),
    "tensor": ("--config.sharding=tensor", "--config.mesh.model=2"),
    "tensor4": ("--config.sharding=tensor", "--config.mesh.model=4"),
}
SPLITS = ((1, 4), (2, 2), (4, 1))  # processes, devices of each
NOISE = {"loss": 1e-6, "parameters": 1e-6, "scores": 1e-6}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    args = parser.parse_args(argv)
    print(f"{'layout':10}  processes  devices  " + "  ".join(f"{k:>10}" for k in NOISE), flush=True)
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder, "first")
        train_and_test(*SPLITS[0], first, LAYOUTS["replicated"])
        for layout in args.layouts:
            for processes, devices in SPLITS:
                workdir = Path(folder, f"{layout}-{processes}")
                train_and_test(processes, devices, workdir, LAYOUTS[layout])
                found = differences(first, workdir)
                different += not_noise(found)
                shown = "  ".join(f"{found[k]:10.1e}" for k in NOISE)
                verdict = "DIFFERENT" if not_noise(found) else "the same"
                print(f"{layout:10}  {processes:9}  {devices:7}  {shown}  {verdict}", flush=True)
    return bool(different)


def train_and_test(processes: int, devices: int, workdir: Path, layout: tuple[str, ...]):
    runs.run(processes, devices, workdir, *runs.CONFIG, *layout)
    runs.run(processes, devices, workdir, "--mode=eval")


def differences(one: Path, other: Path) -> dict[str, float]:
    """Largest absolute differences of two runs; infinite where they do not even hold the same."""
    losses, others = ([runs.losses(run, x) for x in ("train", "val")] for run in (one, other))
    a, b = runs.predictions(one), runs.predictions(other)
    same = list(map(list, losses)) == list(map(list, others))
    same &= a["id"].tolist() == b["id"].tolist()
    if not same or runs.evaluations(one) != runs.evaluations(other):
        return dict.fromkeys(NOISE, float("inf"))
    states = [(runs.parameters(one, s), runs.parameters(other, s)) for s in runs.SAVED]
    return {
        "loss": max(abs(x[k] - y[k]) for x, y in zip(losses, others, strict=True) for k in x),
        "parameters": max(np.abs(x[k] - y[k]).max() for x, y in states for k in x),
        "scores": np.abs(a["score"] - b["score"]).max(),
    }


def not_noise(found: dict[str, float]) -> bool:
    return any(found[k] > limit for k, limit in NOISE.items())


if __name__ == "__main__":
    sys.exit(main())
