"""Tensors of image models, changed to fit video models, and tensors for other input sizes.

A video model with tensors of an image model computes for a clip of equal frames what the image
model computes for the frame.
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import numpy as np

from jaxvid.errors import UserError
from jaxvid.ops.position import METHODS, Method, interpolation, resized

Grid = tuple[int, int, int]


def kernel(image: np.ndarray, frames: int) -> np.ndarray:
    """Divide a kernel over time: (h, w, in, out) -> (frames, h, w, in, out).

    The sum over time is the kernel of the image model (Carreira & Zisserman, 2017,
    https://arxiv.org/abs/1705.07750).
    """
    return np.repeat(image[None], frames, 0) / frames


def middle_kernel(image: np.ndarray, frames: int) -> np.ndarray:
    """Apply a kernel to the middle frame alone: (h, w, in, out) -> (frames, h, w, in, out)."""
    video = np.zeros((frames, *image.shape), image.dtype)
    video[frames // 2] = image
    return video


def kernels(
    net: nn.Module | None, path: str, value: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Adapt the kernels of a 2-D network to a 3-D one, or to other inputs (`Weights.adapt`).

    If the number of input channels differs, as for stacked optical flow, each input channel gets
    the mean of the first kernel over its channels (Wang et al., 2016,
    https://arxiv.org/abs/1608.00859).
    """
    if path.endswith("/kernel") and len(shape) == 5 and value.ndim == 4:
        value = kernel(value, shape[0])
    if path.endswith("/conv1/conv/kernel") and value.shape[-2] == 3 != shape[-2]:
        value = np.repeat(value.mean(-2, keepdims=True), shape[-2], -2)
    return value


def bias_table(image: np.ndarray, window: tuple[int, int, int]) -> np.ndarray:
    """Repeat the relative position biases of an image model for each offset in time.

    Args:
      image: ((2s - 1)^2, heads) for windows of s x s tokens.
      window: (time, height, width) of the windows of the video model. For another height or width,
        the table is resized by bicubic interpolation, as Video Swin does.

    Returns:
      ((2t - 1) (2h - 1) (2w - 1), heads).

    Raises:
      UserError: the table is not for square windows.
    """
    side = round(len(image) ** 0.5)
    if side * side != len(image):
        raise UserError(f"a bias table of {len(image)} offsets is not one of square windows")
    time, height, width = (2 * s - 1 for s in window)
    if (height, width) != (side, side):
        image = position_embedding(image, (1, side, side), (1, height, width))
    return np.tile(image, (time, 1))


def bias_table_in_time(video: np.ndarray, window: tuple[int, int, int]) -> np.ndarray:
    """Resize relative position biases, linearly, to windows of another length in time.

    Args:
      video: ((2s - 1) (2h - 1) (2w - 1), heads) for windows of s tokens in time.
      window: (time, height, width) of the windows of the result.

    Returns:
      ((2t - 1) (2h - 1) (2w - 1), heads).

    Raises:
      UserError: the table is for another height or width.
    """
    time, height, width = (2 * s - 1 for s in window)
    if len(video) % (height * width):
        raise UserError(f"a bias table of {len(video)} offsets is not for windows of {window}")
    grid = video.reshape(-1, height * width * video.shape[-1])
    at = np.linspace(0, len(grid) - 1, time)
    low = np.floor(at).astype(int)
    share = (at - low)[:, None].astype(np.float32)
    mixed = grid[low] * (1 - share) + grid[np.minimum(low + 1, len(grid) - 1)] * share
    return mixed.reshape(-1, video.shape[-1])


def offset_table(table: np.ndarray, length: int) -> np.ndarray:
    """Resize embeddings of relative positions on one axis, linearly: (n, c) -> (length, c)."""
    return interpolation(len(table), length, "linear") @ table


def position_embedding(
    table: np.ndarray, grid: Grid, shape: Grid, methods: Sequence[Method] = METHODS
) -> np.ndarray:
    """Resize position embeddings to another grid: by default bicubic in space, linear in time.

    Args:
      table: (k + t h w, c), row by row. The first k rows, such as that of a class token, are kept.
      grid: (t, h, w) of the table; t is 1 for an image model.
      shape: (t', h', w') of the result.
      methods: How to resize time, height and width, see `ops.position.interpolation`.

    Returns:
      (k + t' h' w', c), in float32 if the table has a lower precision.

    Raises:
      UserError: the table is shorter than its grid.
    """
    count = len(table) - math.prod(grid)
    if count < 0:
        raise UserError(f"{len(table)} position embeddings are too few for a grid of {grid}")
    cells = resized(table[count:].reshape(*grid, -1), shape, methods)
    return np.concatenate([table[:count], cells.reshape(-1, table.shape[-1])])


def position_table(table: np.ndarray, grid: Grid, published: Grid, first: int = 0) -> np.ndarray:
    """Resize the position table of a file, which does not contain its grid, to another grid.

    Args:
      table: (k + t h w, c). Its grid is the published one if that has as many tokens, otherwise one
        with the height and width of `grid`, or a square one with its length in time. An axis of one
        token in both is one in the table, too.
      grid: (t', h', w') of the result.
      published: Grid of the published model.
      first: Number k of rows that are kept, such as 1 for a class token.

    Returns:
      (k + t' h' w', c).

    Raises:
      UserError: the grid of the table cannot be determined.
    """
    count = len(table) - first
    (t, h, w), side = grid, math.isqrt(max(count // grid[0], 0))
    likely = {(count // (h * w), h, w), (t, side, side)}
    likely = {published} if math.prod(published) == count else likely
    single = [axis for axis in range(3) if grid[axis] == published[axis] == 1]
    likely = {old for old in likely if all(old[axis] == 1 for axis in single)}
    fitting = [old for old in likely if min(old) > 0 and math.prod(old) == count]
    if len(fitting) != 1:
        raise UserError(
            f"a position table of {count} tokens is for neither {t} x {h} x {w} tokens nor the"
            f" published {' x '.join(map(str, published))}, and its grid is not known: set"
            " model.frames or model.size to what the file is for"
        )
    return position_embedding(table, fitting[0], grid)
