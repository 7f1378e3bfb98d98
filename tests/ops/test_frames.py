"""Operations along the frames of a clip."""

import numpy as np
import pytest

from jaxvid.ops import frames


@pytest.mark.parametrize("tap,shift", [(0, 1), (1, 0), (2, -1)])
def test_a_kernel_moves_the_frames_of_its_clip_and_channel(tap, shift):
    x = np.random.default_rng(0).standard_normal((2, 5, 3, 2, 4)).astype(np.float32)
    kernel = np.zeros((2, 3, 4), np.float32)
    kernel[:, 1] = 1  # the frame itself, but for one channel of the second clip
    kernel[1, :, 3] = np.eye(3)[tap]
    want = x.copy()
    padded = np.pad(x[1, ..., 3], ((1, 1), (0, 0), (0, 0)))
    want[1, ..., 3] = padded[1 - shift : 6 - shift]
    np.testing.assert_array_equal(frames.convolve(x, kernel), want)
