"""Position tables against their formulas, and against what OpenCV and PyTorch compute."""

import math
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.ops.position import interpolation, sine_cosine


def test_an_odd_number_of_channels_is_an_error():
    with pytest.raises(UserError, match="even number of channels, not 5"):
        sine_cosine(3, 5)


def test_sine_cosine():
    table = sine_cosine(11, 6)
    assert table.shape == (11, 6)
    assert table.dtype == np.float32
    for p in range(11):
        for i in range(3):
            angle = p / 10000 ** (2 * i / 6)
            assert table[p, 2 * i] == pytest.approx(math.sin(angle), abs=1e-7)
            assert table[p, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-7)


@pytest.mark.skipif("JAXVID_GOLDENS" not in os.environ, reason="JAXVID_GOLDENS is not set")
def test_sine_cosine_is_that_of_the_published_models():
    constants = np.load(Path(os.environ["JAXVID_GOLDENS"]) / "constants.npz")
    want = constants["sincos/1568x768/rows_0_1_777_1567"]
    np.testing.assert_allclose(sine_cosine(1568, 768)[[0, 1, 777, 1567]], want, atol=1e-6)


@pytest.mark.parametrize("old,new", [(4, 9), (9, 4), (1, 5), (5, 1), (3, 3), (14, 16)])
@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_interpolation_is_that_of_opencv(old, new, method):
    kind = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}[method]
    values = np.random.default_rng(0).standard_normal((old, 3)).astype(np.float32)
    want = cv2.resize(values, (3, new), interpolation=kind)
    np.testing.assert_allclose(interpolation(old, new, method) @ values, want, atol=1e-5)


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_interpolation_between_two_samples_is_its_formula(method):
    """The third of six samples between two lies a quarter of the way from the first."""
    at = np.array([-0.25, 0.25, 0.75, 1.25])
    want = np.zeros((4, 2))
    for row, position in enumerate(at):
        for tap in range(math.floor(position) - 1, math.floor(position) + 3):
            d = abs(position - tap)
            if method == "linear":
                weight = max(0.0, 1 - d)
            elif d <= 1:
                weight = 1.25 * d**3 - 2.25 * d**2 + 1
            else:
                weight = -0.75 * d**3 + 3.75 * d**2 - 6 * d + 3
            want[row, min(max(tap, 0), 1)] += weight
    np.testing.assert_allclose(interpolation(2, 4, method), want, atol=1e-6)
    np.testing.assert_allclose(want.sum(1), 1)
