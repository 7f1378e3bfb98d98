"""Masked pre-training: which units of a clip are hidden, and the pixels that a model restores.

A clip is divided into units, which are hidden or visible as a whole, and a unit into patches. Both
are numbered row by row, frame by frame.

Shapes: n clips, t h w grid of units, k visible and m hidden units, T H W pixels, p values of a
patch.
"""

import math

import jax
import jax.numpy as jnp
from einops import rearrange

Grid = tuple[int, int, int]


def tubes(rng: jax.Array, n: int, grid: Grid, ratio: float) -> tuple[jax.Array, jax.Array]:
    """Hide the same places in all frames (Tong et al., 2022, VideoMAE).

    Args:
      n: Number of clips, each with its own draw.
      grid: (t, h, w).
      ratio: Share of the places that is hidden, rounded down.

    Returns:
      The numbers of the visible units (n, k) and of the hidden ones (n, m), in ascending order.
    """
    t, places = grid[0], grid[1] * grid[2]
    chosen = _split(rng, n, places, int(ratio * places))
    frames = places * jnp.arange(t)[:, None]
    return tuple((x[:, None] + frames).reshape(n, -1) for x in chosen)  # type: ignore[return-value]


def random(rng: jax.Array, n: int, grid: Grid, ratio: float) -> tuple[jax.Array, jax.Array]:
    """Hide units wherever they are; see `tubes`. The share that stays visible is rounded down."""
    units = math.prod(grid)
    return _split(rng, n, units, units - int(round(1 - ratio, 6) * units))


def _split(rng: jax.Array, n: int, count: int, hidden: int) -> tuple[jax.Array, jax.Array]:
    """Divide the numbers below `count` at random: visible and hidden ones."""
    order = jnp.argsort(jax.random.uniform(rng, (n, count)))
    return jnp.sort(order[:, hidden:]), jnp.sort(order[:, :hidden])


def patches_of(units: jax.Array, grid: Grid, inside: Grid) -> jax.Array:
    """Return the numbers of the patches of units, in ascending order.

    Args:
      units: (n, m) numbers of units.
      grid: (t, h, w) of the units.
      inside: Patches of a unit in time, height and width.

    Returns:
      (n, m * patches of a unit).
    """
    if inside == (1, 1, 1):
        return units
    _, h, w = grid
    place = units // (h * w), units // w % h, units % w
    steps = [jnp.arange(size) for size in inside]
    t, y, x = (p[..., None] * s + q for p, s, q in zip(place, inside, steps, strict=True))
    height, width = h * inside[1], w * inside[2]
    rows = t[..., :, None, None] * height + y[..., None, :, None]
    return jnp.sort((rows * width + x[..., None, None, :]).reshape(len(units), -1))


def patches(video: jax.Array, size: Grid) -> jax.Array:
    """Cut a video (n, T, H, W, c) into patches (n, patches, pixels, c)."""
    a, i, j = size
    return rearrange(video, "n (t a) (h i) (w j) c -> n (t h w) (a i j) c", a=a, i=i, j=j)


def per_channel(x: jax.Array) -> jax.Array:
    """Normalize each channel of patches (..., pixels, c), as VideoMAE does."""
    gap = x - x.mean(-2, keepdims=True)
    return gap / (jnp.std(x, -2, keepdims=True, ddof=1) + 1e-6)


def per_patch(x: jax.Array) -> jax.Array:
    """Normalize patches (..., pixels, c) over all of their values, as MAE does."""
    gap = x - x.mean((-2, -1), keepdims=True)
    return gap / jnp.sqrt(jnp.var(x, (-2, -1), keepdims=True, ddof=1) + 1e-6)
