"""Measure each stage of data loading, and compute how many workers an accelerator needs.

    python -m jaxvid.tools.bench_loader --config configs/swin_k400.py:tiny --step-ms 250
    python -m jaxvid.tools.bench_loader --config FILE --workers 1 2 4 8 --clips 64

First one process times each transform of the training pipeline on some clips, then what it costs to
bring a batch from a worker to this process (transport) and from here to the device (transfer). Then
the whole loader runs with each number of workers.
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
    """{transform: seconds a clip}, in order, and the last sample; one clip more warms up."""
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
    spent.setdefault(name, 0.0)
    start = time.perf_counter()
    yield
    spent[name] += time.perf_counter() - start


@contextmanager
def timed_seeks(spent: dict[str, float]) -> Iterator[None]:
    """Times "Decode", and within it what goes to a keyframe."""
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
    """Gives one sample whatever comes: what is left of a loader's time is transport."""

    sample: Mapping[str, Any]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return dict(self.sample)


def transport_seconds(source: Source, sample: Sample, batch: int, batches: int) -> float:
    """Seconds a clip from a worker's batch to one in this process."""
    rates = [clips_a_second(source, [Same(sample)], batch, batches, workers=w) for w in (0, 1)]
    # Without what stacking the batch takes anyway; a busy machine may make that look longer.
    return max(1 / rates[1] - 1 / rates[0], 0.0)


def transfer_seconds(sample: Sample, batch: int, batches: int) -> float:
    """Seconds a clip from this process to the device."""
    arrays = {key: np.stack([value] * batch) for key, value in sample.items()}
    jax.block_until_ready(jax.device_put(arrays))
    start = time.perf_counter()
    for _ in range(batches):
        jax.block_until_ready(jax.device_put(arrays))
    return (time.perf_counter() - start) / (batch * batches)


def clips_a_second(
    source: Source, transforms: Sequence[Transform], batch: int, batches: int, workers: int
) -> float:
    """Of a loader that is warm: what its workers had ready at the start does not count."""
    ahead = 1 + 2 * workers  # batches in the workers' queues
    stream = loader.train_batches(
        source, transforms, batch=batch, seed=0, stop=ahead + batches, workers=workers
    )
    for n, _ in enumerate(stream):
        if n == ahead - 1:
            start = time.perf_counter()
    return batch * batches / (time.perf_counter() - start)


def report(config: Any, clips: int, batches: int, workers: Sequence[int], step_ms: float):
    """Measure and print."""
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
    """How many workers keep up with steps of `step_ms`, by what each of the most tried gives."""
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
    add("--clips", type=int, default=32, help="clips to time the stages with (%(default)s)")
    add("--batches", type=int, default=6, help="batches to time a loader with (%(default)s)")
    add("--workers", type=int, nargs="+", default=sorted({1, max(cores // 2, 1), cores}))
    add("--step-ms", type=float, default=0.0, help="time of a training step, in milliseconds")
    args, changes = parser.parse_known_args(argv)
    options = vars(args)
    config = options.pop("config")
    return cli.guard(lambda: report(cli.config(config, changes), **options))


if __name__ == "__main__":
    sys.exit(main())
