import numpy as np
import pytest

from jaxvid.data.transforms import randaugment as ra
from jaxvid.errors import UserError


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


def clip(views=1):
    return np.stack([FRAMES] * views)


@pytest.mark.parametrize("views", [1, 2])
def test_keeps_shape_and_type_and_the_input(views):
    video = clip(views)
    for seed in range(20):
        out = ra.RandAugment(4, 30)({"video": video, "label": 3}, np.random.default_rng(seed))
        assert out["video"].shape == video.shape
        assert out["video"].dtype == np.uint8
        assert out["label"] == 3
    np.testing.assert_array_equal(video, clip(views))


def test_the_generator_is_the_only_randomness():
    def run(seed):
        return ra.RandAugment()({"video": clip()}, np.random.default_rng(seed))["video"]

    results = [run(seed) for seed in range(8)]
    assert all((run(seed) == result).all() for seed, result in enumerate(results))
    assert len({result.tobytes() for result in results}) == 8


def test_every_frame_gets_the_same_draw():
    for seed in range(40):
        together = ra.RandAugment(4, 20)({"video": clip()}, np.random.default_rng(seed))["video"]
        for i, frame in enumerate(FRAMES):
            alone = ra.RandAugment(4, 20)(
                {"video": frame[None, None]}, np.random.default_rng(seed)
            )["video"]
            np.testing.assert_array_equal(together[0, i], alone[0, 0])


def record(monkeypatch):
    """Replace what the operations do by a list of (name, amount)."""
    calls = []

    def recorder(name):
        return lambda frames, amount: calls.append((name, amount)) or frames

    table = {name: (draw, recorder(name)) for name, (draw, _) in ra.OPS.items()}
    monkeypatch.setattr(ra, "OPS", table)
    return calls


def test_operations_are_drawn_uniformly_without_repeats(monkeypatch):
    calls = record(monkeypatch)
    rng, clips, ops = np.random.default_rng(0), 3600, 4
    for _ in range(clips):
        ra.RandAugment(ops)({"video": np.zeros((1, 1, 8, 8, 3), np.uint8)}, rng)
    names = np.array([name for name, _ in calls]).reshape(clips, ops)
    assert all(len(set(row)) == ops for row in names)
    for place in names.T:  # each place in the order by itself
        counts = [np.sum(place == name) for name in ra.OPS]
        expected = clips / len(ra.OPS)
        chi_square = sum((count - expected) ** 2 / expected for count in counts)
        assert chi_square < 40.8  # 17 degrees of freedom, p = 0.001


def test_amounts_at_the_published_magnitude(monkeypatch):
    calls = record(monkeypatch)
    rng = np.random.default_rng(0)
    for _ in range(400):
        ra.RandAugment(18, 7)({"video": np.zeros((1, 1, 8, 8, 3), np.uint8)}, rng)
    amounts = {name: [a for n, a in calls if n == name] for name in ra.OPS}
    expected = {
        "rotate": [-7, 7],
        "posterize": [1],
        "solarize": [59],
        "shear_x": [-0.07, 0.07],
        "shear_y": [-0.07, 0.07],
        "translate_x": [-0.077, 0.077],
        "translate_y": [-0.077, 0.077],
        **{name: [0.79, 1.21] for name in ("color", "contrast", "brightness", "sharpness")},
    }
    for name, values in expected.items():
        assert sorted(set(amounts[name])) == pytest.approx(values), name
        if len(values) == 2:  # a fair coin: 5 standard deviations
            assert abs(np.mean(np.array(amounts[name]) > np.mean(values)) - 0.5) < 0.125, name
    y, x, size = np.array(amounts["cutout"]).T
    np.testing.assert_allclose(size, 7 / 30 * 20 / 32)
    for place in (y, x):
        assert 0 <= place.min() < 0.02
        assert 0.98 < place.max() < 1
    rest = set(ra.OPS) - set(expected) - {"cutout"}
    assert rest == {"identity", "autocontrast", "equalize", "invert", "blur", "smooth"}
    assert all(a is None for name in rest for a in amounts[name])


ALWAYS = ("autocontrast", "equalize", "invert", "blur", "smooth")  # take no amount


@pytest.mark.parametrize("name", [name for name in ra.OPS if name not in ALWAYS])
def test_without_magnitude_nothing_changes(name):
    draw, apply = ra.OPS[name]
    np.testing.assert_array_equal(apply(FRAMES, draw(0.0, np.random.default_rng(0))), FRAMES)


@pytest.mark.parametrize("name", [name for name in ra.OPS if name != "identity"])
def test_at_full_magnitude_something_does_and_the_input_does_not(name):
    draw, apply = ra.OPS[name]
    frames = FRAMES.copy()
    assert (apply(frames, draw(1.0, np.random.default_rng(0))) != FRAMES).any()
    np.testing.assert_array_equal(frames, FRAMES)


def test_no_operations_leave_the_crop():
    rng = np.random.default_rng(0)
    assert (ra.RandAugment(0, 0)({"video": clip()}, rng)["video"] == clip()).all()
    assert (ra.RandAugment(0, 30)({"video": clip()}, rng)["video"] != clip()).any()


def test_crop_stretches_the_inside():
    y, x = np.mgrid[:50, :100]
    frames = np.stack([y, x, x], -1).astype(np.uint8)[None]
    out = ra.crop(frames, np.array([0.2, 0.1, 0.3, 0.4]))  # leaves rows 10..34, columns 40..89
    assert out.shape == frames.shape
    rows = np.clip((np.arange(50) + 0.5) / 2 - 0.5, 0, 24) + 10
    columns = np.clip((np.arange(100) + 0.5) / 2 - 0.5, 0, 49) + 40
    assert np.abs(out[0, :, :, 0] - rows[:, None]).max() <= 0.5
    assert np.abs(out[0, :, :, 1] - columns).max() <= 0.5


@pytest.mark.parametrize("key", ["boxes", "keypoint"])
def test_truth_with_a_place_in_the_picture_is_refused(key):
    with pytest.raises(UserError, match=key):
        ra.RandAugment()({"video": clip(), key: np.zeros((1, 4))}, np.random.default_rng(0))


@pytest.mark.parametrize("ops", [-1, 19])
def test_operations_are_limited_to_those_there_are(ops):
    with pytest.raises(UserError, match=f"0 to 18 operations, not {ops}"):
        ra.RandAugment(ops, 7)


@pytest.mark.parametrize("magnitude", [-1, 30.5])
def test_magnitude_is_limited(magnitude):
    with pytest.raises(UserError, match=f"magnitude is 0 to 30, not {magnitude}"):
        ra.RandAugment(4, magnitude)


def test_operations_on_levels():
    levels = np.array([0, 1, 100, 196, 197, 255], np.uint8)
    frames = np.broadcast_to(levels[:, None], (1, 1, 6, 3))
    for result, expected in [
        (ra.invert(frames), [255, 254, 155, 59, 58, 0]),
        (ra.posterize(frames, 1), [0, 0, 100, 196, 196, 254]),
        (ra.posterize(frames, 6), [0, 0, 64, 192, 192, 192]),
        (ra.solarize(frames, 59), [0, 1, 100, 196, 58, 0]),
        (ra.brightness(frames, 1.21), [0, 1, 121, 237, 238, 255]),
        (ra.brightness(frames, 0.79), [0, 0, 79, 154, 155, 201]),
    ]:
        np.testing.assert_array_equal(result[0, 0, :, 0], expected)


def test_moves_fill_with_grey():
    frames = FRAMES[:, :50, :50]
    np.testing.assert_array_equal(ra.translate_x(frames, 0.1)[:, :, 5:], frames[:, :, :-5])
    assert (ra.translate_x(frames, 0.1)[:, :, :5] == 128).all()
    np.testing.assert_array_equal(ra.translate_y(frames, -0.1)[:, :-5], frames[:, 5:])
    assert (ra.translate_y(frames, -0.1)[:, -5:] == 128).all()
    np.testing.assert_array_equal(ra.rotate(frames, 90), np.rot90(frames, axes=(1, 2)))
    for y in (0, 20, 49):  # a row is moved by its own distance from the top
        shift = round(np.tanh(0.3) * (y + 0.5))
        np.testing.assert_array_equal(
            ra.shear_x(frames, 0.3)[:, y, shift:], frames[:, y, : 50 - shift]
        )
        np.testing.assert_array_equal(
            ra.shear_y(frames, 0.3)[:, shift:, y], frames[:, : 50 - shift, y]
        )


@pytest.mark.parametrize(
    "y, x, rows, columns",
    [(0.5, 0.5, (15, 45), (26, 56)), (0.0, 1.0, (0, 15), (68, 83)), (1.0, 0.1, (45, 60), (0, 23))],
)
def test_cutout_is_a_square_cut_at_the_border(y, x, rows, columns):
    out = ra.cutout(FRAMES, (y, x, 0.5))  # of the height, 60
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
    ops = pytest.importorskip("PIL.ImageOps")
    expected = pillow(lambda image: getattr(ops, other)(image, *argument))
    np.testing.assert_array_equal(getattr(ra, name)(FRAMES, amount), expected)


@pytest.mark.parametrize("amount", [0.1, 0.79, 1.0, 1.21, 1.9])
@pytest.mark.parametrize("name", ["color", "contrast", "brightness", "sharpness"])
def test_enhancements_equal_pillow(name, amount):
    enhance = pytest.importorskip("PIL.ImageEnhance")
    expected = pillow(lambda image: getattr(enhance, name.capitalize())(image).enhance(amount))
    np.testing.assert_array_equal(getattr(ra, name)(FRAMES, amount), expected)


@pytest.mark.parametrize("name", ["blur", "smooth"])
def test_filters_equal_pillow(name):
    filters = pytest.importorskip("PIL.ImageFilter")
    expected = pillow(lambda image: image.filter(getattr(filters, name.upper())))
    np.testing.assert_array_equal(getattr(ra, name)(FRAMES), expected)


@pytest.mark.parametrize("angle", [-30, -7, 7, 23.5])
def test_rotation_equals_pillow(angle):
    expected = pillow(lambda image: image.rotate(angle, fillcolor=(128,) * 3))
    differs = (ra.rotate(FRAMES, angle) != expected).any(-1)
    # Pillow counts in 1/65536 pixel: where a centre falls on a border, it may take the neighbour.
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
        ("shear_x", 0.07, (1, -np.tanh(0.07), 0, 0, 1, 0)),
        ("shear_y", -0.3, (1, 0, 0, np.tanh(0.3), 1, 0)),
        ("translate_x", -0.077, (1, 0, 0.077 * 83, 0, 1, 0)),
        ("translate_y", 0.33, (1, 0, 0, 0, 1, -0.33 * 60)),
    ],
)
def test_other_moves_equal_pillow(name, amount, matrix):
    image = pytest.importorskip("PIL.Image")
    expected = pillow(
        lambda i: i.transform(i.size, image.Transform.AFFINE, matrix, fillcolor=(128,) * 3)
    )
    np.testing.assert_array_equal(getattr(ra, name)(FRAMES, amount), expected)
