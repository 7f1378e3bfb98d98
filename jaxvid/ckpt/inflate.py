"""From image models to video models: tensors of one shape made to fit another.

The aim in each case: a clip that is constant in time gives what the image model gives on its frame.
"""

import cv2
import numpy as np


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
    """
    side = round(len(image) ** 0.5)
    if side * side != len(image):
        raise ValueError(f"a table of {len(image)} offsets is not of a square window")
    time, height, width = (2 * s - 1 for s in window)
    if (height, width) != (side, side):
        grid = image.reshape(side, side, -1).astype(np.float32)
        image = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        image = image.reshape(height * width, -1)
    return np.tile(image, (time, 1))
