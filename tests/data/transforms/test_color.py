"""Color jitter, gray clips and erasing, against the published cases."""

import colorsys

import numpy as np
import pytest

from jaxvid.data.transforms import color
from tests.conftest import LegacyGenerator, cases

RNG = np.random.default_rng(0)


def legacy(seed):
    rng = LegacyGenerator(seed)
    rng.integers = rng.state.randint  # type: ignore[method-assign]
    rng.permutation = rng.state.permutation  # type: ignore[attr-defined]
    return rng


def clip(height=12, width=16, views=2, frames=3):
    return np.random.default_rng(0).integers(0, 256, (views, frames, height, width, 3), np.uint8)


def repeat(transform, times=2000):
    """Share of clips that change, of five standard deviations from the probability of 0.25."""
    video = clip()
    changed = [transform({"video": video}, RNG)["video"] is not video for _ in range(times)]
    return abs(np.mean(changed) - 0.25) / (0.25 * 0.75 / times) ** 0.5


@pytest.mark.parametrize("args,given,expected,seed", cases("ColorJitter"))
def test_color_jitter(args, given, expected, seed):
    image = ((np.arange(60) * 7) % 256).astype(np.uint8).reshape(4, 5, 3)
    video = np.stack([image, image])[None]
    jittered = color.ColorJitter(**args)
    order, _ = jittered.draw(legacy(seed))  # type: ignore[arg-type]
    assert order == expected["fn_idx"]
    out = jittered({"video": video}, legacy(seed))["video"]  # type: ignore[arg-type]
    np.testing.assert_array_equal(out[0, 0], expected["img0"])
    assert (out[0, 0] == out[0, 1]).all() == expected["same"]
    assert (video == np.stack([image, image])).all()


def test_jitter_draws_orders_and_amounts_anew():
    draws = [color.ColorJitter(0.1, 0.2, 0.3, 0.4).draw(RNG) for _ in range(2000)]
    assert len({tuple(order) for order, _ in draws}) == 24
    low, high = (f([amounts for _, amounts in draws], 0) for f in (np.min, np.max))
    np.testing.assert_allclose(low, [0.9, 0.8, 0.7, -0.4], atol=2e-3)
    np.testing.assert_allclose(high, [1.1, 1.2, 1.3, 0.4], atol=2e-3)


def test_no_jitter_changes_nothing():
    out = color.ColorJitter(0, 0, 0, 0)({"video": clip()}, RNG)["video"]
    assert np.abs(out.astype(int) - clip()).max() <= 1  # whole levels are cut, not rounded


def test_steps_do_what_their_names_say():
    levels = clip()[0, 0].astype(np.float32)
    gray = levels @ np.array([0.2989, 0.587, 0.114])
    np.testing.assert_allclose(color.brightness(levels, 0.5), levels / 2)
    np.testing.assert_allclose(color.contrast(levels, 0.0), gray.mean(), rtol=1e-5)
    np.testing.assert_allclose(color.saturation(levels, 0.0), np.stack([gray] * 3, -1), rtol=1e-5)
    for step in (color.contrast, color.saturation):
        np.testing.assert_allclose(step(levels, 1.0), levels, rtol=1e-5)


@pytest.mark.parametrize("shift,degrees", [(0.1, 50), (-0.1, -50), (0.5, 254)])
def test_hue_turns_by_two_degrees_a_255th(shift, degrees):
    image = np.array([[[200, 40, 40], [40, 200, 40], [40, 40, 200], [200, 200, 40]]], np.float32)
    for (r, g, b), out in zip(image[0], color.hue(image, shift)[0], strict=True):
        h, s, v = colorsys.rgb_to_hsv(r / 255, g / 255, b / 255)
        want = np.array(colorsys.hsv_to_rgb((h + degrees / 360) % 1, s, v)) * 255
        np.testing.assert_allclose(out, want, atol=3)


def test_grayscale():
    assert repeat(color.Grayscale(0.25)) < 5
    out = color.Grayscale(1.0)({"video": clip()}, RNG)["video"]
    assert out.shape == clip().shape
    assert out.dtype == np.uint8
    want = clip() @ np.array([0.2989, 0.587, 0.114])
    for channel in np.moveaxis(out, -1, 0):
        assert np.abs(channel - want).max() <= 0.501


@pytest.mark.parametrize("args,given,expected,seed", cases("RandomErasing"))
def test_random_erasing(args, given, expected, seed):
    erasing = color.RandomErasing(args["erase_prob"])
    box = erasing.box(given["img_h"], given["img_w"], legacy(seed))  # type: ignore[arg-type]
    assert list(box) == expected["top_left_h_w"]


def test_one_rectangle_is_erased_in_all_frames():
    assert repeat(color.RandomErasing(0.25)) < 5
    for seed in range(30):
        erasing = color.RandomErasing(1.0, fill=(1, 2, 3))
        out = erasing({"video": clip()}, np.random.default_rng(seed))["video"]
        rng = np.random.default_rng(seed)
        rng.uniform(0, 1)
        top, left, height, width = erasing.box(12, 16, rng)
        assert 1 <= height <= 12
        assert 1 <= width <= 16
        want = clip()
        want[:, :, top : top + height, left : left + width] = (1, 2, 3)
        np.testing.assert_array_equal(out, want)


def test_noise_is_new_in_every_frame():
    out = color.RandomErasing(1.0, (0.3, 0.3), noise=True)({"video": clip()}, RNG)["video"]
    erased = (out != clip()).any(-1)
    rows, columns = np.flatnonzero(erased.any((0, 1, 3))), np.flatnonzero(erased.any((0, 1, 2)))
    inside = out[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert 0.2 < inside[0, 0, ..., 0].size / (12 * 16) < 0.4
    assert len({frame.tobytes() for view in inside for frame in view}) == 6
    assert len(np.unique(inside)) > 150


def test_rectangles_are_anywhere_but_at_the_last_place():
    erasing = color.RandomErasing(area=(0.25, 0.25), aspect=(1.0, 1.0))
    boxes = {erasing.box(8, 8, RNG) for _ in range(400)}
    assert boxes == {(top, left, 4, 4) for top in range(4) for left in range(4)}
    assert color.RandomErasing(area=(1.0, 1.0), aspect=(1.0, 1.0)).box(8, 8, RNG) == (0, 0, 8, 8)


def test_erased_areas_and_aspects_span_their_ranges():
    boxes = [color.RandomErasing().box(300, 300, RNG) for _ in range(3000)]
    height, width = np.array(boxes).T[2:]
    assert (height * width / 90000).min() == pytest.approx(0.02, abs=2e-3)
    assert (height * width / 90000).max() == pytest.approx(1 / 3, abs=5e-3)
    ratio = np.log(height / width)
    assert abs(ratio.mean()) < 5 * ratio.std() / 3000**0.5
    assert np.abs(ratio).max() == pytest.approx(np.log(10 / 3), abs=0.05)
