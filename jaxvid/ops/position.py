"""Tables of position embeddings: sine and cosine waves, and matrices that resize a table.

Shapes: n positions, c channels.
"""

from typing import Literal

import numpy as np

Method = Literal["linear", "cubic"]
METHODS: tuple[Method, Method, Method] = ("linear", "cubic", "cubic")  # for time, height and width


def sine_cosine(n: int, c: int) -> np.ndarray:
    """Return the fixed table of Vaswani et al. (2017), https://arxiv.org/abs/1706.03762.

    Channel 2i of position p is sin(p / 10000^(2i/c)), and channel 2i + 1 the cosine of this angle.

    Args:
      n: Number of positions.
      c: Number of channels, an even number.

    Returns:
      float32 (n, c), computed in float64.
    """
    angles = np.arange(n)[:, None] / 10000 ** (np.arange(0, c, 2) / c)
    waves = np.stack([np.sin(angles), np.cos(angles)], -1)
    return waves.reshape(n, c).astype(np.float32)


def interpolation(old: int, new: int, method: Method) -> np.ndarray:
    """Return the float32 matrix (new, old) that resizes an axis, as PyTorch and OpenCV do.

    Samples are the centers of equal intervals (`align_corners=False`), and the first and the last
    value continue beyond the ends. The cubic kernel is that of Keys (1981) with a = -0.75.

    Args:
      old: Length of the axis.
      new: Length of the result.
      method: "linear" takes the two nearest samples, "cubic" the four nearest.
    """
    at = (np.arange(new) + 0.5) * old / new - 0.5
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
