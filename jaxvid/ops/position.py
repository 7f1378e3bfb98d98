"""Positions of tokens: tables of sine and cosine waves, matrices that resize a table, rotations.

Shapes: n positions, c channels, g heads, d channels of a head; "..." are any axes.
"""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.errors import UserError

Method = Literal["linear", "cubic", "smooth"]
METHODS: tuple[Method, Method, Method] = ("linear", "cubic", "cubic")  # for time, height and width


def sine_cosine(n: int, c: int) -> np.ndarray:
    """Return the fixed table of Vaswani et al. (2017), https://arxiv.org/abs/1706.03762.

    Channel 2i of position p is sin(p / 10000^(2i/c)), and channel 2i + 1 the cosine of this angle.

    Args:
      n: Number of positions.
      c: Number of channels, an even number.

    Returns:
      float32 (n, c), computed in float64.

    Raises:
      UserError: the number of channels is odd.
    """
    if c % 2:
        raise UserError(f"a table of sines and cosines has an even number of channels, not {c}")
    # Python's powers are PyTorch's. NumPy's differ in the last bit, which one position shows.
    rates = np.array([10000.0 ** -(i / c) for i in range(0, c, 2)])
    angles = np.arange(n)[:, None] * rates
    waves = np.stack([np.sin(angles), np.cos(angles)], -1)
    return waves.reshape(n, c).astype(np.float32)


def resized(
    cells: np.ndarray, grid: tuple[int, int, int], methods: Sequence[Method] = METHODS
) -> np.ndarray:
    """Resize embeddings (t, h, w, c) to another grid: linear in time, bicubic in space."""
    for axis, method in enumerate(methods):
        matrix = interpolation(cells.shape[axis], grid[axis], method)
        cells = np.moveaxis(np.tensordot(matrix, cells, (1, axis)), 0, axis)
    return cells


def interpolation(old: int, new: int, method: Method) -> np.ndarray:
    """Return the float32 matrix (new, old) that resizes an axis, as PyTorch and OpenCV do.

    Samples are the centers of equal intervals (`align_corners=False`), and the first and the last
    value continue beyond the ends. The cubic kernel is that of Keys (1981) with a = -0.75.

    Args:
      old: Length of the axis.
      new: Length of the result.
      method: "linear" takes the two nearest samples, "cubic" the four nearest. "smooth" is linear,
        and averages over more samples where the result is shorter (`antialias=True`).
    """
    at = (np.arange(new) + 0.5) * old / new - 0.5
    if method == "smooth":
        weights = np.maximum(0, 1 - abs(at[:, None] - np.arange(old)) / max(1, old / new))
        return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    reach = {"linear": 1, "cubic": 2}[method]
    taps = np.floor(at).astype(int)[:, None] + np.arange(1 - reach, 1 + reach)
    d = np.abs(at[:, None] - taps)
    if method == "linear":
        weights = 1 - d
    else:
        near = (1.25 * d - 2.25) * d**2 + 1
        weights = np.where(d <= 1, near, -0.75 * (((d - 5) * d + 8) * d - 4))
    matrix = np.zeros((new, old))
    np.add.at(matrix, (np.arange(new)[:, None], np.clip(taps, 0, old - 1)), weights)
    return matrix.astype(np.float32)


def rotate(x: jax.Array, angles: jax.Array) -> jax.Array:
    """Rotate pairs of neighboring channels (Su et al., 2021), https://arxiv.org/abs/2104.09864.

    Args:
      x: Queries or keys (..., n, g, d).
      angles: (..., n, d), one for each channel. If they are equal for both channels of a pair, the
        product of a query and a key depends on the difference of their positions only.

    Returns:
      (..., n, g, d) in the dtype of `x`.
    """
    angles = angles[..., None, :]
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    turned = jnp.stack([-pairs[..., 1], pairs[..., 0]], -1).reshape(x.shape)
    return (x * jnp.cos(angles) + turned * jnp.sin(angles)).astype(x.dtype)
