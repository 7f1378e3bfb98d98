"""From image models to video models: tensors of one shape made to fit another.

The aim in each case: a clip that is constant in time gives what the image model gives on its frame.
"""

import cv2
import numpy as np

from jaxvid.errors import UserError


def kernel(image: np.ndarray, frames: int) -> np.ndarray:
    """(h, w, in, out) -> (frames, h, w, in, out), each a share of the image's kernel.

    Their sum over time is the image's kernel (Carreira & Zisserman, 2017).
    """
    return np.repeat(image[None], frames, 0) / frames


def bias_table(image: np.ndarray, window: tuple[int, int, int]) -> np.ndarray:
    """Relative position biases of square windows, for every offset in time alike.

    Args:
      image: ((2s - 1)^2, heads) for windows of s x s tokens.
      window: (time, height, width) of the video model; another height or width resizes the table,
        bicubic, as Video Swin does.

    Returns:
      ((2t - 1) (2h - 1) (2w - 1), heads).

    Raises:
      UserError: the table is not one of square windows.
    """
    side = round(len(image) ** 0.5)
    if side * side != len(image):
        raise UserError(f"a bias table of {len(image)} offsets is not one of square windows")
    time, height, width = (2 * s - 1 for s in window)
    if (height, width) != (side, side):
        grid = image.reshape(side, side, -1).astype(np.float32)
        image = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        image = image.reshape(height * width, -1)
    return np.tile(image, (time, 1))


def bias_table_in_time(video: np.ndarray, window: tuple[int, int, int]) -> np.ndarray:
    """Relative position biases for windows that are longer or shorter in time.

    Args:
      video: ((2t - 1) (2h - 1) (2w - 1), heads) for another t.
      window: (time, height, width) of the result, linear between the offsets there are.

    Raises:
      UserError: the table is for another height or width.
    """
    time, height, width = (2 * s - 1 for s in window)
    if len(video) % (height * width):
        raise UserError(f"a bias table of {len(video)} offsets is not for windows of {window}")
    grid = video.reshape(-1, height * width * video.shape[-1])
    at = np.linspace(0, len(grid) - 1, time)
    low = np.floor(at).astype(int)
    share = (at - low)[:, None].astype(video.dtype)
    mixed = grid[low] * (1 - share) + grid[np.minimum(low + 1, len(grid) - 1)] * share
    return mixed.reshape(-1, video.shape[-1])
