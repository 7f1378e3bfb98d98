"""Sampling of rows in training.

The row at a position of the stream depends only on the seed and the position. It is computed in
O(log n).

The expected number of times that an epoch contains a row can be a fraction, because of rare
classes, small sources or weights. The method is systematic sampling: rows are intervals that follow
each other on a line, and the length of an interval is this expected number. An epoch selects points
at distance 1 on the line, in random order. So an epoch contains each row, class or source as often
as expected, rounded up or down. From epoch to epoch, the points move by the golden ratio, which
spreads them evenly, so the rounding averages out.
"""

from dataclasses import dataclass
from typing import Any

import grain
import numpy as np

from jaxvid.data.annotations.labels import MultiLabels
from jaxvid.data.sample import Source
from jaxvid.errors import UserError

ENDLESS = 2**62  # rows of a stream, more than any run draws
GOLDEN = 0x9E3779B97F4A7C15  # the golden ratio as a fraction of 2**64


def build(source: Source, balance: float, seed: int) -> grain.MapDataset:
    """Return an endless stream of rows of the source.

    Args:
      balance: see `wanted`.
      seed: 0 to 2**32 - 1.
    """
    each = wanted(source, balance)
    count = length(source, balance)
    # Endless streams have sys.maxsize rows, which Grain cannot divide into batches of one row.
    epochs = ENDLESS // max(count, 1)
    slots = grain.MapDataset.range(count).seed(seed).shuffle().repeat(epochs)
    if each is None:
        return slots
    # Sort by class, so that rounding happens once per class and not once per row.
    labels: Any = source.labels
    rows = np.arange(len(source))
    if balance and not isinstance(labels, MultiLabels) and labels.ndim == 1:
        rows = np.argsort(labels, kind="stable")
    ends = np.cumsum(each[rows])
    if ends[-1] != count:
        ends = ends / ends[-1] * count
    start = int(np.random.default_rng(seed).integers(2**64, dtype=np.uint64))
    return slots.map_with_index(Draw(ends, rows, start))


def length(source: Source, balance: float = 0.0) -> int:
    """Return the number of rows of an epoch.

    It is the number of rows of the source, unless the source has `repeats`. `balance` does not
    change it. With a `concat` with ratios, an epoch ends when all rows of one of its sources are
    used.
    """
    each = wanted(source, balance)
    return len(source) if each is None else max(1, round(float(each.sum())))


def wanted(source: Source, balance: float = 0.0) -> np.ndarray | None:
    """Return the expected number of times that an epoch contains each row.

    Args:
      balance: 0 keeps the frequencies of the classes, and 1 makes all classes equally frequent. 1/2
        uses the square root of their frequencies (Gupta et al., "LVIS", 2019). If a row has several
        labels, its rarest class counts. Within a class, rows keep their proportions.

    Returns:
      float64 (n,), or None if each row is used once.

    Raises:
      UserError: `balance` is not from 0 to 1.
    """
    if not 0 <= balance <= 1:
        raise UserError(
            f"config.loader.balance={balance}: expected 0 (off) to 1 (all classes equally frequent)"
        )
    given = source.repeats
    if given is None and not balance:
        return None
    each = np.ones(len(source)) if given is None else np.asarray(given, np.float64)
    if not balance:
        return each
    rows, classes = _pairs(source.labels)
    frequency = np.bincount(classes, each[rows])
    factor = np.where(frequency > 0, frequency, np.inf) ** -balance
    scale = np.full(len(each), factor[frequency > 0].min())  # the value of rows without a label
    np.maximum.at(scale, rows, factor[classes])
    return each * scale * (each.sum() / (each * scale).sum())


@dataclass(frozen=True)
class Draw:
    """Maps a position of the stream, and the shuffled slot at that position, to a row.

    Attributes:
      ends: float64 (n,), end of the interval of each row; the last one is a whole number.
      rows: int (n,), the rows in the order of their intervals.
      start: offset of the points in the first epoch, as a fraction of 2**64.
    """

    ends: np.ndarray
    rows: np.ndarray
    start: int

    def __call__(self, position: int, slot: int) -> int:
        epoch = int(position) // int(self.ends[-1])
        # 24 bits, so that adding a slot is exact and the sum stays below the end.
        offset = ((self.start + epoch * GOLDEN) % 2**64 >> 40) / 2**24
        return int(self.rows[np.searchsorted(self.ends, slot + offset, side="right")])


def _pairs(labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the class of every label."""
    if isinstance(labels, MultiLabels):
        return labels.rows, labels.values
    if labels.ndim == 2:
        rows, classes = np.nonzero(labels)
        return rows, classes
    return np.arange(len(labels)), np.unique(labels, return_inverse=True)[1]
