"""Proposals, segments that may hold an action, from boundary scores (Lin et al., 2018, BSN).

On the host, in NumPy. `peaks` and `boundary_features` also take arrays of JAX, and `best_pairs`
needs them.

Shapes: t bins of time, n proposals.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.ops.segments import coverage, iou, length


def peaks(scores, threshold: float = 0.5) -> Any:
    """Bins (..., t) that may be boundaries, of NumPy or JAX: bool, False at both ends.

    These are local maxima, and what is above `threshold` times the best.
    """
    inner = scores[..., 1:-1]
    local = (inner > scores[..., 2:]) & (inner > scores[..., :-2])
    strong = inner > threshold * scores.max(-1, keepdims=True)
    xp = jnp if isinstance(scores, jax.Array) else np
    return xp.pad(local | strong, [(0, 0)] * (scores.ndim - 1) + [(1, 1)])


def soft_nms(
    segments: np.ndarray,
    scores: np.ndarray,
    *,
    alpha: float = 0.4,
    low: float = 0.5,
    high: float = 0.9,
    keep: int = 100,
) -> tuple[np.ndarray, np.ndarray]:
    """Take the best, lower the scores of those that overlap it, again and again.

    Gaussian soft non-maximum suppression (Bodla et al., 2017), with BSN's threshold, which grows
    with the segment that was taken.

    Args:
      segments: (n, 2), within 0..1.
      scores: (n,).
      alpha: the score is multiplied by exp(-IoU^2 / alpha),
      low, high: where the IoU is above low + (high - low) * length.
      keep: as published, `keep` + 1 segments come back.

    Returns:
      Segments and scores, in the order in which they were taken.
    """
    taken, values = suppress(segments, scores, alpha=alpha, low=low, high=high, keep=keep + 1)
    return np.asarray(segments)[taken], values


def suppress(
    segments: np.ndarray,
    scores: np.ndarray,
    *,
    alpha: float,
    low: float,
    high: float,
    keep: int,
    least: float = -np.inf,
) -> tuple[list[int], np.ndarray]:
    """Return the numbers of the segments that soft non-maximum suppression takes, and their scores.

    Args:
      segments, scores, alpha, low, high: as in `soft_nms`.
      keep: largest number of segments.
      least: suppression ends when all scores are below it.
    """
    segments, scores = np.asarray(segments), np.array(scores, np.float64)
    taken, values = [], []
    for _ in range(min(keep, len(scores))):
        best = int(scores.argmax())
        if scores[best] < least:
            break
        taken.append(best)
        values.append(scores[best])
        overlap = iou(segments[best], segments)
        close = overlap > low + (high - low) * length(segments[best])
        scores = np.where(close, scores * np.exp(-np.square(overlap) / alpha), scores)
        scores[taken] = -np.inf
    return taken, np.array(values)


def vote(
    taken: np.ndarray, segments: np.ndarray, scores: np.ndarray, threshold: float
) -> np.ndarray:
    """Return, for each segment (n, 2), the mean of all that overlap it, weighted by their scores.

    Args:
      taken: (n, 2), segments that suppression took from `segments`.
      segments: (k, 2), with scores (k,) from before suppression.
      threshold: IoU from which segments overlap.
    """
    weights = np.where(iou(taken[:, None], segments) >= threshold, scores, 0)
    return weights @ segments / weights.sum(1, keepdims=True)


def pair_boundaries(start: np.ndarray, end: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """BSN's proposals: every peak of `start` (t,) with every later one of `end`.

    Both ends of the video count as peaks.

    Returns:
      (n, 5), the best first: start and end within 0..1, in the middle of their bins; the scores of
      both, and their product.
    """
    found = np.stack([peaks(start, threshold), peaks(end, threshold)])
    found[:, [0, -1]] = True
    e, s = np.nonzero(np.tril(np.outer(found[1], found[0]), -1))
    middle = (np.arange(len(start)) + 0.5) / len(start)
    rows = np.stack([middle[s], middle[e], start[s], end[e], start[s] * end[e]], 1)
    return rows[np.argsort(-rows[:, 4], kind="stable")]


def best_pairs(start, end, count: int, threshold: float = 0.5):
    """Return the best pairs of `pair_boundaries` of a batch, in JAX, with static shapes.

    Args:
      start, end: (b, t) scores of the bins.
      count: number of pairs n, at most t^2.

    Returns:
      Segments (b, n, 2) within 0..1 and their scores (b, n), best first. Pairs that are missing
      have the score 0.
    """
    t = start.shape[1]
    first, last = (peaks(x, threshold).at[:, jnp.array([0, -1])].set(True) for x in (start, end))
    later = jnp.triu(jnp.ones((t, t), bool), 1)
    pairs = first[:, :, None] & last[:, None] & later
    scores = jnp.where(pairs, start[:, :, None] * end[:, None], 0).reshape(len(start), -1)
    places = jax.lax.broadcasted_iota(jnp.int32, scores.shape, 1)
    # XLA gathers a batch that is sharded over devices for `top_k`, but not for a sort.
    scores, places = jax.lax.sort((-scores, places), dimension=1, num_keys=1)
    scores, places = -scores[:, :count], places[:, :count]
    return (jnp.stack(jnp.divmod(places, t), -1) + 0.5) / t, scores


def best_matches(segments: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n, 2): the largest IoU of each segment (n, 2) with `truth` (k, 2), and share it covers."""
    pairs = segments[:, None], truth
    return np.stack([iou(*pairs).max(1), coverage(*pairs).max(1)], 1)


def boundary_features(
    segments: Any,
    action: Any,
    *,
    ratio: float = 0.2,
    samples: int = 8,
    samples_inside: int = 16,
    places: int = 3,
) -> Any:
    """Sample the action scores over each segment and its boundaries ("BSP feature").

    Args:
      segments: (n, 2), within 0..1.
      action: (t,) scores of equal bins of 0..1; beyond them it is 0.
      ratio: of a segment's length, what counts as its boundary on either side of it.
      samples, samples_inside: of each boundary, and of the segment.
      places: a sample is the mean over so many intervals, ends included.

    Returns:
      (n, samples_inside + 2 samples): the segment, its start, its end.
    """
    xp = jnp if isinstance(action, jax.Array) else np
    bins = len(action)
    known = xp.pad(action, (1, 2))
    start, end = segments[:, 0], segments[:, 1]
    reach = (end - start) * ratio

    def sample(first, last, count):
        step = (last - first) / (count - 1)
        at = np.arange(count * places + 1) / places - 0.5
        where = xp.clip((first[:, None] + step[:, None] * at) * bins - 0.5, -1, bins)
        low = xp.floor(where).astype(np.int32)
        share = where - low
        values = known[low + 1] * (1 - share) + known[low + 2] * share
        windows = np.arange(count)[:, None] * places + np.arange(places + 1)
        return values[:, windows].mean(-1)

    boundaries = (sample(at - reach, at + reach, samples) for at in (start, end))
    return xp.concatenate([sample(start, end, samples_inside), *boundaries], 1)
