"""Points of a pyramid of time: which action each of them learns, and the segments that it predicts.

A point of level i stands for every 2^i-th row of the features, and its stride is 2^i. Times are in
rows: row r is the time r.

Shapes: b batch, k segments of a video, n points of all levels, m classes, or 1 for all of them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Ranges = tuple[tuple[float, float], ...]


class Targets(NamedTuple):
    """The action that each point learns.

    Attributes:
      classes: (b, n, classes), 0 or 1.
      offsets: (b, n, 2), distances to the start and to the end, in strides.
    """

    classes: jax.Array
    offsets: jax.Array


def places(rows: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return times and strides of the points of all levels, each float32 (n,)."""
    times = [np.arange(0, rows, 2**i) for i in range(levels)]
    strides = [np.full(len(t), 2**i) for i, t in enumerate(times)]
    return np.concatenate(times).astype(np.float32), np.concatenate(strides).astype(np.float32)


def assign(
    segments: jax.Array,
    labels: jax.Array,
    rows: int,
    num_classes: int,
    ranges: Ranges,
    radius: float,
) -> Targets:
    """Assign the actions of videos to points.

    A point learns an action if it lies in it, at most `radius` strides from its middle, and if the
    longer of its distances to the start and to the end is in the range of its level. Of several
    actions, a point learns the shortest one. If their lengths are equal, it learns all classes.

    Args:
      segments: (b, k, 2), in rows.
      labels: (b, k), -1 for padding.
      rows: Number of rows of the features.
      num_classes: Number of classes.
      ranges: (low, high) for each level, in rows.
      radius: In strides; 0 means the whole action.
    """
    at, stride = (x[:, None] for x in places(rows, len(ranges)))
    counts = [len(range(0, rows, 2**i)) for i in range(len(ranges))]
    low, high = (np.repeat(x, counts)[:, None] for x in np.array(ranges, np.float32).T)
    start, end = segments[:, None, :, 0], segments[:, None, :, 1]
    before, after = at - start, end - at  # (b, n, k)
    inside = jnp.minimum(before, after) > 0
    if radius:
        inside &= jnp.abs(at - (start + end) / 2) < radius * stride
    reach = jnp.maximum(before, after)
    fits = inside & (reach >= low) & (reach <= high) & (labels[:, None] >= 0)
    length = jnp.where(fits, end - start, jnp.inf)
    best = length.argmin(-1)[..., None]
    learned = fits & (length <= length.min(-1, keepdims=True) + 1e-3)
    of_class = jax.nn.one_hot(labels, num_classes, dtype=segments.dtype)
    classes = jnp.einsum("bnk,bkc->bnc", learned.astype(segments.dtype), of_class)
    distances = jnp.stack([before, after], -1) / stride[..., None]
    offsets = jnp.take_along_axis(distances, best[..., None], 2)[:, :, 0]
    return Targets(jnp.minimum(classes, 1), offsets)


def iou(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return the IoU of segments around the same point, by their distances (..., 2) -> (...)."""
    shared = jnp.minimum(a, b).sum(-1)
    return shared / jnp.maximum((a + b).sum(-1) - shared, 1e-8)


def distance_iou_loss(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return 1 - DIoU of segments around the same point, by their distances (..., 2) -> (...).

    Zheng et al., 2020, https://arxiv.org/abs/1911.08287.
    """
    apart = (a[..., 1] - a[..., 0] - b[..., 1] + b[..., 0]) / 2
    around = jnp.maximum(jnp.maximum(a, b).sum(-1), 1e-8)
    return 1 - iou(a, b) + jnp.square(apart / around)


def candidates(
    scores: jax.Array, offsets: jax.Array, level: int, limit: int, low: float, shortest: float
) -> jax.Array:
    """Return the best segments of one level.

    Args:
      scores: (b, n, classes), 0 for padding.
      offsets: (b, n, m, 2), in strides.
      level: Number of the level.
      limit: Largest number of segments of a video.
      low: Segments with this score or less are left out.
      shortest: Segments of this number of rows or fewer are left out.

    Returns:
      (b, min(limit, n classes), 4): start and end in rows, score, and number of the class. The
      score is 0 for segments that are left out.
    """
    b, n, classes = scores.shape
    score, index = jax.lax.top_k(scores.reshape(b, -1), min(limit, n * classes))
    point, label = index // classes, index % classes
    column = jnp.minimum(label, offsets.shape[2] - 1)
    flat = offsets.reshape(b, -1, 2)
    chosen = point * offsets.shape[2] + column
    distance = jnp.take_along_axis(flat, chosen[..., None], 1)
    start, end = ((point + s * distance[..., i]) * 2**level for i, s in ((0, -1), (1, 1)))
    kept = (score > low) & (end - start > shortest)
    return jnp.stack([start, end, jnp.where(kept, score, 0), label.astype(score.dtype)], -1)
