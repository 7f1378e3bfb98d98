"""Which row comes when in training: a function of the seed and the position alone, in O(log n).

Rows may be wanted more or less than once an epoch, and not a whole number of times: those of rare
classes, of small sources, or by weights. Rows lie end to end on a line, each as long as it is
wanted, and an epoch reads the line in steps of 1, shuffled (systematic sampling). So an epoch has a
row, a class or a source as often as it is wanted, rounded up or down. From epoch to epoch the
readings move on by the golden ratio, which spreads them evenly: what is rounded adds up.
"""

from dataclasses import dataclass
from typing import Any

import grain
import numpy as np

from jaxvid.data.annotations.labels import MultiLabels
from jaxvid.data.sample import Source
from jaxvid.errors import UserError

GOLDEN = 0x9E3779B97F4A7C15  # of 2**64


def build(source: Source, balance: float, seed: int) -> grain.MapDataset:
    """Row of the source by position in the stream, without an end.

    Args:
      balance: see `wanted`.
      seed: 0 to 2**32 - 1.
    """
    each = wanted(source, balance)
    count = length(source, balance)
    slots = grain.MapDataset.range(count).seed(seed).shuffle().repeat()
    if each is None:
        return slots
    # Classes in one piece: so each of them is rounded once, not at each of its rows.
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
    """How many rows one epoch draws: as many as there are, unless the source says otherwise.

    Balance does not change it. In a `concat` with ratios the epoch ends when the first of the
    parts is through.
    """
    each = wanted(source, balance)
    return len(source) if each is None else max(1, round(float(each.sum())))


def wanted(source: Source, balance: float = 0.0) -> np.ndarray | None:
    """How often an epoch has each row, float64 (n,); None where all are wanted once.

    Args:
      balance: 0 leaves classes as frequent as the source has them, 1 makes all equally frequent,
        1/2 leaves the square root of their differences (Gupta et al., "LVIS", 2019); for rows with
        several labels their rarest class counts. Within a class rows keep their proportions.

    Raises:
      UserError: `balance` is not from 0 to 1.
    """
    if not 0 <= balance <= 1:
        raise UserError(f"config.loader.balance={balance}: it is from 0 (off) to 1 (all alike)")
    given = source.repeats
    if given is None and not balance:
        return None
    each = np.ones(len(source)) if given is None else np.asarray(given, np.float64)
    if not balance:
        return each
    rows, classes = _pairs(source.labels)
    frequency = np.bincount(classes, each[rows])
    factor = np.where(frequency > 0, frequency, np.inf) ** -balance
    scale = np.full(len(each), factor[frequency > 0].min())  # of rows without a label
    np.maximum.at(scale, rows, factor[classes])
    return each * scale * (each.sum() / (each * scale).sum())


@dataclass(frozen=True)
class Draw:
    """Position in the stream, and slot of the epoch there -> row.

    Attributes:
      ends: float64 (n,), where each row ends on the line; its length is whole.
      rows: int (n,), the rows in their order on the line.
      start: of the first reading, of 2**64.
    """

    ends: np.ndarray
    rows: np.ndarray
    start: int

    def __call__(self, position: int, slot: int) -> int:
        epoch = int(position) // int(self.ends[-1])
        # 24 bits: so that adding a slot is exact, and stays below the end.
        offset = ((self.start + epoch * GOLDEN) % 2**64 >> 40) / 2**24
        return int(self.rows[np.searchsorted(self.ends, slot + offset, side="right")])


def _pairs(labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Row and class of every label."""
    if isinstance(labels, MultiLabels):
        return labels.rows, labels.values
    if labels.ndim == 2:
        rows, classes = np.nonzero(labels)
        return rows, classes
    return np.arange(len(labels)), np.unique(labels, return_inverse=True)[1]
