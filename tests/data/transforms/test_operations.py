"""Operations on levels and on places, against Pillow."""

import numpy as np
import pytest

from jaxvid.data.transforms import operations as ops


def pictures(h=60, w=83):
    """uint8 (4 h w 3): a smooth picture, noise, a dark one and one with a flat channel."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:h, :w]
    smooth = np.stack([x * 255 / w, y * 255 / h, (x + y) * 255 / (w + h)], -1)
    smooth += rng.normal(0, 4, smooth.shape)
    noise = rng.integers(0, 256, smooth.shape)
    flat = noise * [1, 0, 1] + [0, 90, 0]
    frames = np.stack([smooth, noise, 20 + noise / 3, flat])
    return np.clip(frames, 0, 255).astype(np.uint8)


FRAMES = pictures()


def test_crop_stretches_the_inside():
    y, x = np.mgrid[:50, :100]
    frames = np.stack([y, x, x], -1).astype(np.uint8)[None]
    out = ops.crop(frames, np.array([0.2, 0.1, 0.3, 0.4]))  # leaves rows 10..34, columns 40..89
    assert out.shape == frames.shape
    rows = np.clip((np.arange(50) + 0.5) / 2 - 0.5, 0, 24) + 10
    columns = np.clip((np.arange(100) + 0.5) / 2 - 0.5, 0, 49) + 40
    assert np.abs(out[0, :, :, 0] - rows[:, None]).max() <= 0.5
    assert np.abs(out[0, :, :, 1] - columns).max() <= 0.5


def test_operations_on_levels():
    levels = np.array([0, 1, 100, 196, 197, 255], np.uint8)
    frames = np.broadcast_to(levels[:, None], (1, 1, 6, 3))
    for result, expected in [
        (ops.invert(frames), [255, 254, 155, 59, 58, 0]),
        (ops.posterize(frames, 1), [0, 0, 100, 196, 196, 254]),
        (ops.posterize(frames, 6), [0, 0, 64, 192, 192, 192]),
        (ops.solarize(frames, 59), [0, 1, 100, 196, 58, 0]),
        (ops.brightness(frames, 1.21), [0, 1, 121, 237, 238, 255]),
        (ops.brightness(frames, 0.79), [0, 0, 79, 154, 155, 201]),
    ]:
        np.testing.assert_array_equal(result[0, 0, :, 0], expected)


def test_moves_fill_with_gray():
    frames = FRAMES[:, :50, :50]
    np.testing.assert_array_equal(ops.translate_x(frames, 0.1)[:, :, 5:], frames[:, :, :-5])
    assert (ops.translate_x(frames, 0.1)[:, :, :5] == 128).all()
    np.testing.assert_array_equal(ops.translate_y(frames, -0.1)[:, :-5], frames[:, 5:])
    assert (ops.translate_y(frames, -0.1)[:, -5:] == 128).all()
    np.testing.assert_array_equal(ops.rotate(frames, 90), np.rot90(frames, axes=(1, 2)))
    for y in (0, 20, 49):  # a row is moved by its own distance from the top
        shift = round(0.3 * (y + 0.5))
        np.testing.assert_array_equal(
            ops.shear_x(frames, 0.3)[:, y, shift:], frames[:, y, : 50 - shift]
        )
        np.testing.assert_array_equal(
            ops.shear_y(frames, 0.3)[:, shift:, y], frames[:, : 50 - shift, y]
        )


@pytest.mark.parametrize(
    "y, x, rows, columns",
    [(0.5, 0.5, (15, 45), (26, 56)), (0.0, 1.0, (0, 15), (68, 83)), (1.0, 0.1, (45, 60), (0, 23))],
)
def test_cutout_is_a_square_cut_at_the_border(y, x, rows, columns):
    out = ops.cutout(FRAMES, (y, x, 0.5))  # of the height, 60
    inside = np.zeros(FRAMES.shape[1:3], bool)
    inside[slice(*rows), slice(*columns)] = True
    assert (out[:, inside] == 128).all()
    np.testing.assert_array_equal(out[:, ~inside], FRAMES[:, ~inside])


def pillow(operation):
    image = pytest.importorskip("PIL.Image")
    return np.stack([np.asarray(operation(image.fromarray(frame))) for frame in FRAMES])


@pytest.mark.parametrize(
    "name, amount, other, argument",
    [
        ("autocontrast", None, "autocontrast", ()),
        ("equalize", None, "equalize", ()),
        ("invert", None, "invert", ()),
        ("posterize", 3, "posterize", (5,)),
        ("solarize", 59, "solarize", (197,)),
    ],
)
def test_level_operations_equal_pillow(name, amount, other, argument):
    pillow_ops = pytest.importorskip("PIL.ImageOps")
    expected = pillow(lambda image: getattr(pillow_ops, other)(image, *argument))
    np.testing.assert_array_equal(getattr(ops, name)(FRAMES, amount), expected)


@pytest.mark.parametrize("amount", [0.1, 0.79, 1.0, 1.21, 1.9])
@pytest.mark.parametrize("name", ["color", "contrast", "brightness", "sharpness"])
def test_enhancements_equal_pillow(name, amount):
    enhance = pytest.importorskip("PIL.ImageEnhance")
    expected = pillow(lambda image: getattr(enhance, name.capitalize())(image).enhance(amount))
    np.testing.assert_array_equal(getattr(ops, name)(FRAMES, amount), expected)


@pytest.mark.parametrize("name", ["blur", "smooth"])
def test_filters_equal_pillow(name):
    filters = pytest.importorskip("PIL.ImageFilter")
    expected = pillow(lambda image: image.filter(getattr(filters, name.upper())))
    np.testing.assert_array_equal(getattr(ops, name)(FRAMES), expected)


@pytest.mark.parametrize("angle", [-30, -7, 7, 23.5])
def test_rotation_equals_pillow(angle):
    expected = pillow(lambda image: image.rotate(angle, fillcolor=(128,) * 3))
    differs = (ops.rotate(FRAMES, angle) != expected).any(-1)
    # Pillow counts in 1/65536 pixel: where a center falls on a border, it may take the neighbor.
    h, w = FRAMES.shape[1:3]
    y, x = np.mgrid[:h, :w] + 0.5
    turn = np.exp(1j * np.deg2rad(angle))
    source = ((x - w / 2) + 1j * (y - h / 2)) * turn
    at = np.stack([source.real + w / 2, source.imag + h / 2])
    on_border = (np.abs(at - np.round(at)) < 2e-3).any(0)
    assert not differs[:, ~on_border].any()
    assert on_border.mean() < 0.02


@pytest.mark.parametrize(
    "name, amount, matrix",
    [
        ("shear_x", 0.07, (1, -0.07, 0, 0, 1, 0)),
        ("shear_y", -0.3, (1, 0, 0, 0.3, 1, 0)),
        ("translate_x", -0.077, (1, 0, 0.077 * 83, 0, 1, 0)),
        ("translate_y", 0.33, (1, 0, 0, 0, 1, -0.33 * 60)),
    ],
)
def test_other_moves_equal_pillow(name, amount, matrix):
    image = pytest.importorskip("PIL.Image")
    expected = pillow(
        lambda i: i.transform(i.size, image.Transform.AFFINE, matrix, fillcolor=(128,) * 3)
    )
    np.testing.assert_array_equal(getattr(ops, name)(FRAMES, amount), expected)
