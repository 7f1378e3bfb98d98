"""Augmentations on the device that tests/tasks does not see through the task."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.ops import augment


@pytest.fixture(scope="module")
def ramp():
    """(6, 2, 3, 24, 32, 2): each pixel holds its row and its column."""
    y, x = np.meshgrid(np.arange(24), np.arange(32), indexing="ij")
    return np.tile(np.stack([y, x], -1).astype(np.float32), (6, 2, 3, 1, 1, 1))


def test_a_crop_is_a_box_resized(ramp):
    """Away from the edges, where bilinear resizing is exact on a ramp, rows tell the box."""
    crop = jax.jit(lambda k, x: augment.random_resized_crop(k, x, (0.2, 0.6)))
    out = np.asarray(crop(jax.random.key(0), ramp))
    assert (out == out[:, :1, :1]).all()  # all frames and views of a clip alike
    inner = out[:, 0, 0, 6:-6, 6:-6]
    heights = (inner[:, 1:, :, 0] - inner[:, :-1, :, 0]) * 24
    widths = (inner[:, :, 1:, 1] - inner[:, :, :-1, 1]) * 32
    for values in (heights, widths):
        assert np.ptp(values, axis=(1, 2)).max() < 1e-3
    heights, widths = heights[:, 0, 0], widths[:, 0, 0]
    share = heights * widths / (24 * 32)
    assert len(set(share.round(3))) == 6  # each clip draws its own
    assert ((share > 0.2 - 1e-3) & (share < 0.6 + 1e-3)).all()
    ratio = widths / heights
    whole = (np.abs(heights - 24) < 1e-3) | (np.abs(widths - 32) < 1e-3)
    assert (((ratio > 0.75 - 1e-3) & (ratio < 4 / 3 + 1e-3)) | whole).all()
    # The box lies inside the frame: its first and last pixel centers do.
    top = out[:, 0, 0, 12, 16, 0] + 0.5 - heights * 12.5 / 24
    left = out[:, 0, 0, 12, 16, 1] + 0.5 - widths * 16.5 / 32
    assert (top > -1e-3).all() and (top + heights < 24 + 1e-3).all()
    assert (left > -1e-3).all() and (left + widths < 32 + 1e-3).all()


def test_a_crop_of_everything_changes_nothing(ramp):
    out = augment.random_resized_crop(jax.random.key(0), ramp, (1.0, 1.0), (32 / 24, 32 / 24))
    np.testing.assert_allclose(out, ramp, atol=1e-3)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(20, 200, (4, 1, 2, 5, 6, 3)).astype(np.float32)


def jitter(pixels, *strengths):
    return np.asarray(augment.color_jitter(jax.random.key(1), jnp.asarray(pixels), strengths))


def test_no_strength_is_no_change(pixels):
    np.testing.assert_allclose(jitter(pixels), pixels, rtol=1e-5)


def test_brightness_is_one_factor_a_clip(pixels):
    factor = jitter(pixels, 0.2) / pixels
    assert np.ptp(factor, axis=(1, 2, 3, 4, 5)).max() < 1e-5
    factor = factor[:, 0, 0, 0, 0, 0]
    assert len(set(factor.round(4))) == 4
    assert (np.abs(factor - 1) <= 0.2).all()


def test_contrast_keeps_the_mean_of_each_frame(pixels):
    out = jitter(pixels, 0.0, 0.2)
    mean = pixels.mean((3, 4), keepdims=True)
    np.testing.assert_allclose(out.mean((3, 4), keepdims=True), mean, rtol=1e-4)
    factor = ((out - mean) * (pixels - mean)).sum((1, 2, 3, 4, 5))
    factor /= np.square(pixels - mean).sum((1, 2, 3, 4, 5))
    wide = factor.reshape(-1, 1, 1, 1, 1, 1)
    np.testing.assert_allclose(out, mean + wide * (pixels - mean), atol=1e-2)
    assert len(set(factor.round(4))) == 4


def test_saturation_and_hue_are_those_of_hsv(pixels):
    def hsv(values):
        flat = values.reshape(len(values), -1, 3) / 255
        return np.array([[colorsys.rgb_to_hsv(*rgb) for rgb in clip] for clip in flat])

    before, richer = hsv(pixels), hsv(jitter(pixels, 0.0, 0.0, 0.2))
    np.testing.assert_allclose(richer[..., 2], before[..., 2], atol=1e-4)
    factor = richer[..., 1] / before[..., 1]
    below = richer[..., 1] < 0.999
    assert all(np.ptp(f[b]) < 1e-3 for f, b in zip(factor, below, strict=True))
    turned = hsv(jitter(pixels, 0.0, 0.0, 0.0, 0.1))
    np.testing.assert_allclose(turned[..., 1:], before[..., 1:], atol=1e-4)
    angle = (turned[..., 0] - before[..., 0] + 0.5) % 1 - 0.5
    assert np.ptp(angle, axis=1).max() < 1e-3
    assert (np.abs(angle) <= 0.1 + 1e-6).all()
    assert len(set(angle[:, 0].round(4))) == 4
