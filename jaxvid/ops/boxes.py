"""Boxes (x1, y1, x2, y2): overlap, and which true box a proposal stands for.

Shapes: n proposals, k true boxes, m a mixture of both.
"""

import jax
import jax.numpy as jnp


def iou(a, b):
    """Intersection over union of boxes (..., n, 4) and (..., k, 4): (..., n, k); 0 where empty."""
    corner = jnp.maximum(a[..., :, None, :2], b[..., None, :, :2])
    sides = jnp.minimum(a[..., :, None, 2:], b[..., None, :, 2:]) - corner
    shared = jnp.maximum(sides, 0).prod(-1)
    joint = area(a)[..., :, None] + area(b)[..., None, :] - shared
    return shared / jnp.maximum(joint, 1e-6)


def area(boxes):
    """(..., 4) -> (...)."""
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def assign(proposals, boxes, present, threshold: float):
    """The true box that each proposal stands for (Gu et al., 2018, as MMAction2 trains on AVA).

    It is the one that a proposal overlaps most, by at least `threshold`; but the proposal that
    overlaps a true box more than the others do is taken for that, even if it overlaps another one
    more, and for the last of several such.

    Args:
      proposals: (n, 4).
      boxes: (k, 4).
      present: (k,), 0 for true boxes that are padding.

    Returns:
      int (n,), -1 where there is none.
    """
    overlap = jnp.where(present > 0, iou(proposals, boxes), -1)
    nearest = jnp.where(overlap.max(1) >= threshold, overlap.argmax(1), -1)
    best = (overlap == overlap.max(0)) & (overlap >= threshold)
    last = jnp.where(best, jnp.arange(len(boxes)), -1).max(1)
    return jnp.where(last >= 0, last, nearest)


def choose(rng, chosen, count: int):
    """`count` random places where `chosen` (m,) holds; where there are fewer, others follow.

    Returns:
      Indices (count,), and float32 (count,) that is 0 for those others.
    """
    rank = jnp.where(chosen, jax.random.uniform(rng, chosen.shape, minval=1, maxval=2), 0)
    # A sort stays on the device that has the row; lax.top_k gathers the rows of all devices.
    places = jnp.argsort(-rank)[:count]
    return places, chosen[places].astype(jnp.float32)
