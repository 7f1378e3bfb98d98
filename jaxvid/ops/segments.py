"""Segments of time, (..., 2) start and end: how they overlap, and what a localizer learns of them.

Shapes: b batch, k segments of a video, t bins, d durations, s starts.
"""

import jax
import jax.numpy as jnp
import numpy as np


def intersection(a, b):
    """Length that segments share: (..., 2) and (..., 2) -> (...), of NumPy or JAX, broadcast."""
    xp = jnp if isinstance(a, jax.Array) or isinstance(b, jax.Array) else np
    shared = xp.minimum(a[..., 1], b[..., 1]) - xp.maximum(a[..., 0], b[..., 0])
    return xp.maximum(shared, 0)


def length(segments):
    return segments[..., 1] - segments[..., 0]


def iou(a, b):
    """Intersection over union of segments that have a length."""
    shared = intersection(a, b)
    return shared / (length(a) + length(b) - shared)


def coverage(a, b):
    """The share of `a` that `b` covers ("IoP")."""
    return intersection(a, b) / length(a)


def boundary_targets(segments, present, frames: int):
    """Targets of BMN (Lin et al., 2019): how much bins and cells are boundaries and actions.

    Args:
      segments: (b, k, 2), within 0..1.
      present: (b, k), 0 for padding.

    Returns:
      overlap (b, d, s), the best IoU of each cell; start and end (b, t), the largest share of each
      bin that a region of three bins around a boundary covers.
    """

    def best(values):
        """(b, k, ...) -> (b, ...)"""
        there = present.reshape(*present.shape, *[1] * (values.ndim - 2))
        return jnp.where(there > 0, values, 0).max(1)

    segments = segments * frames
    edges = jnp.arange(frames + 1.0)
    bins = jnp.stack([edges[:-1], edges[1:]], -1)
    cells = jnp.stack(jnp.broadcast_arrays(edges[:-1], edges[:-1] + edges[1:, None]), -1)
    overlap = best(iou(cells, segments[:, :, None, None]))
    start, end = (
        best(coverage(bins, jnp.stack([at - 1.5, at + 1.5], -1)[:, :, None]))
        for at in (segments[..., 0], segments[..., 1])
    )
    return overlap, start, end


def bin_targets(segments, present, frames: int, ratio: float):
    """Targets of BSN (Lin et al., 2018): shares of each bin that actions and boundaries cover.

    Args:
      segments: (b, k, 2), within 0..1.
      present: (b, k), 0 for padding.
      ratio: width of the region around a boundary, as a share of the length of its segment. It is
        at least one bin.

    Returns:
      action, start and end, each (b, t).
    """
    edges = jnp.arange(frames + 1.0) / frames
    bins = jnp.stack([edges[:-1], edges[1:]], -1)
    half = jnp.maximum(1 / frames, ratio * length(segments))[..., None] * jnp.array([-0.5, 0.5])

    def best(regions):
        """(b, k, 2) -> (b, t)"""
        shares = coverage(bins, regions[:, :, None])
        return jnp.where(present[..., None] > 0, shares, 0).max(1)

    return best(segments), *(best(segments[..., i, None] + half) for i in (0, 1))
