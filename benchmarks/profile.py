"""Which operations of a model take the time of a step.

    python -m benchmarks.profile swin [--what train] [--dtype bfloat16] [--top 30] [--small]

From a checkout, on one device. The model and its inputs are those of `benchmarks.train_step`. The
table has the operations of the compiled program by their time in a step: the kernels of a GPU, or
the operations that the CPU backend runs, on all threads together. For each it gives the number of
calls, and where in the model the operation comes from, if the profile says so. The empty flag
XLA_FLAGS=--xla_gpu_enable_command_buffer= keeps operations of a GPU apart that would otherwise be
one "command_buffer".
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from benchmarks import train_step
from jaxvid.distributed import mesh as meshes
from jaxvid.train.plan import rehearse

STEPS = 5


@dataclass
class Operation:
    """An operation of a program: its calls, their seconds, and its name in the model."""

    calls: int = 0
    seconds: float = 0.0
    source: str = ""


def operations(planes: Iterable[Any]) -> dict[str, Operation]:
    """Return the operations in the planes of a profile, by name.

    Kernels of a GPU are on lines "Stream ..."; where there are none, events that name an operation
    of XLA count.
    """
    planes = list(planes)
    on_device = [line for line in lines(planes) if line.name.startswith("Stream")]
    found: dict[str, Operation] = {}
    for line in on_device or lines(planes):
        for event in line.events:
            stats = dict(event.stats)
            if not on_device and "hlo_op" not in stats:
                continue
            operation = found.setdefault(str(stats.get("hlo_op", event.name)), Operation())
            operation.calls += 1
            operation.seconds += event.duration_ns * 1e-9
            operation.source = operation.source or str(stats.get("tf_op", stats.get("name", "")))
    return found


def lines(planes: Iterable[Any]) -> Iterator[Any]:
    for plane in planes:
        yield from plane.lines


def table(found: dict[str, Operation], steps: int, top: int) -> Iterator[str]:
    """Yield the lines of a table of the `top` operations, with their share of all time."""
    total = sum(operation.seconds for operation in found.values())
    whole = f"share of {1e3 * total / steps:.2f} ms"
    yield f"| operation | calls of a step | ms of a step | {whole} | in the model |"
    yield "|---|---|---|---|---|"
    for name, operation in sorted(found.items(), key=lambda item: -item[1].seconds)[:top]:
        share, each = operation.seconds / total, 1e3 * operation.seconds / steps
        yield (
            f"| {name} | {operation.calls / steps:g} | {each:.3f} | {share:.1%} |"
            f" {operation.source} |"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile")
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("model", help="FAMILY or FAMILY:VARIANT")
    add("--what", default="train", choices=["train", "forward"])
    add("--dtype", default="bfloat16")
    add("--top", type=int, default=30, help="operations that are shown")
    add("--small", action="store_true", help="2 small clips, for a CPU")
    add("--batch", type=int, default=0)
    args = parser.parse_args()
    config = train_step.configure(args.model, args.small, args.batch)
    config.dtype = args.dtype
    planned, sample, _ = rehearse(config, meshes.build(1, 1))
    batch = meshes.put_batch(planned.mesh, train_step.noise(sample, config.batch))
    make = train_step.train_step if args.what == "train" else train_step.forward
    run = make(planned, batch, train_step.weights(planned, batch)).run
    jax.block_until_ready(run())
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(STEPS):
                out = run()
            jax.block_until_ready(out)
        (file,) = Path(folder).rglob("*.xplane.pb")
        found = operations(jax.profiler.ProfileData.from_file(str(file)).planes)
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}, {args.model} {args.what}\n")
    for line in table(found, STEPS, args.top):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
