"""Measure each stage of data loading, and compute how many workers an accelerator needs.

    python -m jaxvid.tools.bench_loader --config configs/swin_k400.py:tiny --step-ms 250
    python -m jaxvid.tools.bench_loader --config FILE --workers 1 2 4 8 --clips 64

First, one process measures the time of each transform of the training pipeline on some clips. Then
it measures the time to send a batch from a worker to the main process (transport), and to copy it
to the device (transfer). Finally, the whole loader runs with each number of workers.
"""

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from rich.table import Table

from jaxvid import cli, files, log, plug
from jaxvid.data import dataset
from jaxvid.data.loading import loader
from jaxvid.data.sample import Sample, Source, Transform
from jaxvid.data.video.packets import Demuxed

SEEK = "  of which seek"


def stage_seconds(
    source: Source, transforms: Sequence[Transform], clips: int, seed: int
) -> tuple[dict[str, float], Sample]:
    """Return {transform: seconds per clip}, in order, and the last sample.

    One additional clip is loaded first and not measured.
    """
    rng = np.random.default_rng(seed)
    spent: dict[str, float] = {}
    sample: Sample = {}
    for n, row in enumerate(rng.integers(len(source), size=clips + 1)):
        if n == 1:
            spent = dict.fromkeys(spent, 0.0)
        sample = source[int(row)]
        for transform in transforms:
            name = type(transform).__name__
            with timed_seeks(spent) if name == "Decode" else timed(spent, name):
                sample = transform(sample, rng)
    return {name: seconds / clips for name, seconds in spent.items()}, sample


@contextmanager
def timed(spent: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds of the block to `spent[name]`."""
    spent.setdefault(name, 0.0)
    start = time.perf_counter()
    yield
    spent[name] += time.perf_counter() - start


@contextmanager
def timed_seeks(spent: dict[str, float]) -> Iterator[None]:
    """Add the seconds of the block to "Decode", and those of seeking in it to SEEK."""
    seek = Demuxed.seek

    def watched(self, index, start):
        with timed(spent, SEEK):
            return seek(self, index, start)

    Demuxed.seek = watched  # type: ignore[method-assign]
    try:
        with timed(spent, "Decode"):
            spent.setdefault(SEEK, 0.0)
            yield
    finally:
        Demuxed.seek = seek


@dataclass(frozen=True)
class Same:
    """A transform that always returns the same sample, so that only the transport takes time."""

    sample: Mapping[str, Any]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return dict(self.sample)


def transport_seconds(source: Source, sample: Sample, batch: int, batches: int) -> float:
    """Return the seconds per clip to send a batch from a worker to this process."""
    rates = [clips_a_second(source, [Same(sample)], batch, batches, workers=w) for w in (0, 1)]
    # Subtract the time of stacking. On a busy machine it can exceed the total, so clip at 0.
    return max(1 / rates[1] - 1 / rates[0], 0.0)


def transfer_seconds(sample: Sample, batch: int, batches: int) -> float:
    """Return the seconds per clip to copy a batch from this process to the device."""
    arrays = {key: np.stack([value] * batch) for key, value in sample.items()}
    jax.block_until_ready(jax.device_put(arrays))
    start = time.perf_counter()
    for _ in range(batches):
        jax.block_until_ready(jax.device_put(arrays))
    return (time.perf_counter() - start) / (batch * batches)


def clips_a_second(
    source: Source, transforms: Sequence[Transform], batch: int, batches: int, workers: int
) -> float:
    """Return the clips per second of a loader, without the batches that were ready at the start."""
    ahead = 1 + 2 * workers  # batches in the queues of the workers
    stream = loader.train_batches(
        source, transforms, batch=batch, seed=0, stop=ahead + batches, workers=workers
    )
    for n, _ in enumerate(stream):
        if n == ahead - 1:
            start = time.perf_counter()
    return batch * batches / (time.perf_counter() - start)


def report(config: Any, clips: int, batches: int, workers: Sequence[int], step_ms: float):
    """Measure the stages and the loader, and print tables."""
    data = dataset.for_training(config.data, config.task)
    source = data.splits["train"]
    transforms = plug.load("data.recipes", config.data.recipe, split="train")
    batch = min(config.batch // max(config.accumulate, 1), 16)
    stages, sample = stage_seconds(source, transforms, clips, config.seed)
    whole = sum(seconds for name, seconds in stages.items() if name != SEEK)
    transport = transport_seconds(source, sample, batch, batches)
    transfer = transfer_seconds(sample, batch, batches)
    table = Table("stage", "ms a clip", "clips/s", "share", title="One process", box=None)
    for column in table.columns[1:]:
        column.justify = "right"

    def row(name: str, seconds: float, share: str = ""):
        rate = f"{1 / seconds:,.1f}" if seconds > 0 else "-"
        table.add_row(name, f"{1e3 * seconds:,.2f}", rate, share)

    for name, seconds in stages.items():
        row(name, seconds, f"{seconds / whole:.0%}")
    row("all transforms", whole, "100%")
    row("transport (a worker to here)", transport)
    row("transfer (here to the device)", transfer)
    log.show(table)

    rates = {w: clips_a_second(source, transforms, batch, batches, w) for w in workers}
    table = Table("workers", "clips/s", "each", title="The loader", box=None)
    for column in table.columns:
        column.justify = "right"
    for count, rate in rates.items():
        table.add_row(str(count), f"{rate:,.1f}", f"{rate / max(count, 1):,.1f}")
    log.show(table)
    if step_ms:
        print(needed(config.batch, step_ms, rates))


def needed(batch: int, step_ms: float, rates: Mapping[int, float]) -> str:
    """Return a sentence with the number of workers that are needed for steps of `step_ms`.

    The clips per second of a worker are those measured with the largest number of workers.
    """
    most = max(rates)
    rate, each = 1e3 * batch / step_ms, rates[most] / max(most, 1)
    count = math.ceil(rate / each)
    return (
        f"a batch of {batch} every {step_ms:g} ms is {rate:,.1f} clips/s: {count}"
        f" worker{'s' if count > 1 else ''} at {each:,.1f} clips/s each"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser("jaxvid.tools.bench_loader", __doc__, with_config=True)
    cores = files.cores()
    add = parser.add_argument
    add("--clips", type=int, default=32, help="clips for measuring the stages (%(default)s)")
    add("--batches", type=int, default=6, help="batches for measuring a loader (%(default)s)")
    add("--workers", type=int, nargs="+", default=sorted({1, max(cores // 2, 1), cores}))
    add("--step-ms", type=float, default=0.0, help="time of a training step, in milliseconds")
    args, changes = parser.parse_known_args(argv)
    options = vars(args)
    config = options.pop("config")
    return cli.guard(lambda: report(cli.config(config, changes), **options))


if __name__ == "__main__":
    sys.exit(main())
