"""Batches of training steps that join two sources, or that differ in size and transforms."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import grain
import numpy as np

from jaxvid.data.loading import loader, sampling, shared_memory
from jaxvid.data.sample import Source, Transform


@dataclass(frozen=True)
class LoadStep:
    """Reads the batch of a step, where batches differ in their number of samples and transforms.

    Attributes:
      samples: streams of samples, which differ in the transforms.
      kinds: int (steps,), the stream of each step.
      positions: int (steps + 1,), number of samples that are used before each step.
      process: (index of this process, number of processes).
    """

    samples: Sequence[grain.MapDataset]
    kinds: np.ndarray
    positions: np.ndarray
    process: tuple[int, int]

    def __call__(self, step: int) -> dict[str, np.ndarray | shared_memory.Segment]:
        (index, count), first = self.process, int(self.positions[step])
        own = (int(self.positions[step + 1]) - first) // count
        stream = self.samples[self.kinds[step]]
        return loader.stack([stream[first + index * own + i] for i in range(own)])


def stepped_batches(
    source: Source,
    pipelines: Sequence[Sequence[Transform]],
    kinds: np.ndarray,
    positions: np.ndarray,
    *,
    seed: int,
    start: int,
    stop: int,
    workers: int = -1,
    balance: float = 0.0,
    on_error: str = "replace",
    process: tuple[int, int] = (0, 1),
) -> loader.Batches:
    """Return the training batches of steps that differ in size and transforms.

    Args:
      pipelines: transforms of each kind of step.
      kinds: int (steps,), kind of each step.
      positions: int (steps + 1,), number of samples that are used before each step.

    All other arguments are those of `train_batches`.
    """
    masked = loader.masked(on_error)
    loads = [loader.LoadSample(source, tuple(transforms), masked) for transforms in pipelines]
    rows = sampling.build(source, balance, seed)
    load = LoadStep([rows.random_map(load) for load in loads], kinds, positions, process)
    dataset = grain.MapDataset.range(len(kinds)).map(load)[start:stop]
    return loader.Batches(dataset, loads[0], on_error, workers)


class Joined:
    """Batches of two sources, step by step: arrays of the second have names with a prefix.

    It has the attributes of `Batches`. The rows of the sources differ, so `unreadable` has those of
    the second as (prefix, row).

    Args:
      first: batches of the first source.
      second: batches of the second source, of any size.
      prefix: beginning of the names of the second source's arrays.
    """

    def __init__(self, first: loader.Batches, second: loader.Batches, prefix: str):
        self._first, self._second, self._prefix = first, second, prefix
        self.workers = first.workers + second.workers

    @property
    def unreadable(self) -> dict[Any, str]:
        other = {(self._prefix, row): why for row, why in self._second.unreadable.items()}
        return {**self._first.unreadable, **other}

    @property
    def seconds(self) -> dict[str, float]:
        one, other = self._first.seconds, self._second.seconds
        return {stage: one.get(stage, 0.0) + other.get(stage, 0.0) for stage in {**one, **other}}

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        with closing(iter(self._first)) as one, closing(iter(self._second)) as other:  # type: ignore[type-var]
            for batch, extra in zip(one, other, strict=True):
                yield batch | {f"{self._prefix}{key}": value for key, value in extra.items()}
