"""What augmentation policies draw; what the operations then do is tested by themselves."""

import numpy as np
import pytest

from jaxvid.data.transforms import policies
from jaxvid.errors import UserError
from tests.data.transforms.test_operations import FRAMES

TABLES = {
    "randaugment": policies.IMGAUG,
    "randaugment_noisy": policies.PYTORCHVIDEO,
    "autoaugment": policies.AUTOAUGMENT,
    "augmix": policies.AUGMIX,
}
LEVELS = ("color", "contrast", "brightness", "sharpness")


def clip(views=1):
    return np.stack([FRAMES] * views)


def run(policy, seed, video=None):
    sample = {"video": clip() if video is None else video, "label": 3}
    out = policy(sample, np.random.default_rng(seed))
    assert out["label"] == 3
    return out["video"]


@pytest.fixture(params=policies.POLICIES)
def policy(request):
    return policies.build(request.param)


@pytest.mark.parametrize("views", [1, 2])
def test_keeps_shape_and_type_and_the_input(policy, views):
    video = clip(views)
    for seed in range(10):
        out = run(policy, seed, video)
        assert out.shape == video.shape
        assert out.dtype == np.uint8
    np.testing.assert_array_equal(video, clip(views))


def test_the_generator_is_the_only_randomness(policy):
    results = [run(policy, seed) for seed in range(8)]
    assert all((run(policy, seed) == result).all() for seed, result in enumerate(results))
    assert len({result.tobytes() for result in results}) >= 5  # AutoAugment may do nothing


def test_every_frame_gets_the_same_draw(policy):
    for seed in range(20):
        together = run(policy, seed)
        for i, frame in enumerate(FRAMES):
            alone = run(policy, seed, frame[None, None])
            np.testing.assert_array_equal(together[0, i], alone[0, 0])


@pytest.mark.parametrize("key", ["boxes", "keypoint"])
def test_truth_with_a_place_in_the_picture_is_refused(policy, key):
    with pytest.raises(UserError, match=key):
        policy({"video": clip(), key: np.zeros((1, 4))}, np.random.default_rng(0))


def test_policies_have_names():
    assert policies.build("randaugment", 3, 9.0) == policies.RandAugment(3, 9.0)
    with pytest.raises(UserError, match=r'"autoaugmet".*Did you mean "autoaugment"'):
        policies.build("autoaugmet")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_without_strength_little_changes_and_with_all_of_it_everything(table):
    always = {"autocontrast", "equalize", "invert", "blur", "smooth"}  # take no amount
    if table in (policies.PYTORCHVIDEO, policies.AUGMIX):
        always.add("posterize")  # to four bits at least
    for name, (draw, apply) in table.items():
        frames = FRAMES.copy()
        weak = apply(frames, draw(0.0, np.random.default_rng(0)))
        assert name in always or (weak != FRAMES).mean() < 0.01, name
        strong = apply(frames, draw(1.0, np.random.default_rng(0)))
        assert name == "identity" or (strong != FRAMES).any(), name
        np.testing.assert_array_equal(frames, FRAMES)


def record(monkeypatch, table):
    """Replace what the operations do by a list of (name, amount)."""
    calls = []

    def recorder(name):
        return lambda frames, amount: calls.append((name, amount)) or frames

    recorded = {name: (draw, recorder(name)) for name, (draw, _) in table.items()}
    for name, (_, apply) in recorded.items():
        monkeypatch.setitem(table, name, (table[name][0], apply))
    return calls


def repeat(policy, times):
    rng, video = np.random.default_rng(0), np.zeros((1, 1, 8, 8, 3), np.uint8)
    for _ in range(times):
        policy({"video": video}, rng)


def near(count, times, probability):
    """Within five standard deviations of a binomial count."""
    return abs(count - times * probability) <= 5 * (times * probability * (1 - probability)) ** 0.5


def test_randaugment_draws_uniformly_without_repeats(monkeypatch):
    calls, clips, ops = record(monkeypatch, policies.IMGAUG), 3600, 4
    repeat(policies.RandAugment(ops), clips)
    names = np.array([name for name, _ in calls]).reshape(clips, ops)
    assert all(len(set(row)) == ops for row in names)
    for place in names.T:  # each place in the order by itself
        counts = [np.sum(place == name) for name in policies.IMGAUG]
        expected = clips / len(policies.IMGAUG)
        chi_square = sum((count - expected) ** 2 / expected for count in counts)
        assert chi_square < 40.8  # 17 degrees of freedom, p = 0.001


def test_randaugment_at_the_published_magnitude(monkeypatch):
    calls = record(monkeypatch, policies.IMGAUG)
    repeat(policies.RandAugment(18, 7), 400)
    amounts = {name: [a for n, a in calls if n == name] for name in policies.IMGAUG}
    expected = {
        "rotate": [-7, 7],
        "posterize": [1],
        "solarize": [59],
        "shear_x": [-np.tanh(0.07), np.tanh(0.07)],
        "shear_y": [-np.tanh(0.07), np.tanh(0.07)],
        "translate_x": [-0.077, 0.077],
        "translate_y": [-0.077, 0.077],
        **{name: [0.79, 1.21] for name in LEVELS},
    }
    for name, values in expected.items():
        assert sorted(set(amounts[name])) == pytest.approx(values), name
        if len(values) == 2:
            assert near(np.sum(np.array(amounts[name]) > np.mean(values)), 400, 0.5), name
    y, x, size = np.array(amounts["cutout"]).T
    np.testing.assert_allclose(size, 7 / 30 * 20 / 32)
    for place in (y, x):
        assert 0 <= place.min() < 0.02
        assert 0.98 < place.max() < 1
    rest = set(policies.IMGAUG) - set(expected) - {"cutout"}
    assert rest == {"identity", "autocontrast", "equalize", "invert", "blur", "smooth"}
    assert all(a is None for name in rest for a in amounts[name])


def test_no_operations_leave_the_crop():
    assert (run(policies.RandAugment(0, 0), 0) == clip()).all()
    assert (run(policies.RandAugment(0, 30), 0) != clip()).any()


@pytest.mark.parametrize("name,most", [("randaugment", 18), ("randaugment_noisy", 14)])
def test_operations_are_limited_to_those_there_are(name, most):
    policies.build(name, most, 7)
    for ops in (-1, most + 1):
        with pytest.raises(UserError, match=f"0 to {most} operations, not {ops}"):
            policies.build(name, ops, 7)


@pytest.mark.parametrize(
    "name,first,most", [("randaugment", 4, 30), ("randaugment_noisy", 4, 10), ("augmix", None, 10)]
)
def test_magnitude_is_limited(name, first, most):
    arguments = () if first is None else (first,)
    policies.build(name, *arguments, most)
    for magnitude in (-1, most + 0.5):
        with pytest.raises(UserError, match=f"magnitude is 0 to {most}, not {magnitude}"):
            policies.build(name, *arguments, magnitude)


def test_noisy_randaugment_leaves_out_half_and_varies_the_strength(monkeypatch):
    calls, clips = record(monkeypatch, policies.PYTORCHVIDEO), 4000
    repeat(policies.NoisyRandAugment(4, 7), clips)
    assert near(len(calls), 4 * clips, 0.5)
    for name in policies.PYTORCHVIDEO:
        assert near(sum(n == name for n, _ in calls), clips, 4 / 14 / 2), name
    levels = {  # back from the amounts at level 1
        "rotate": 30,
        "shear_x": 0.3,
        "shear_y": 0.3,
        "translate_x": 0.45,
        "translate_y": 0.45,
    }
    for name, most in levels.items():
        level = np.array([a for n, a in calls if n == name]) / most
        assert near((level > 0).sum(), len(level), 0.5), name
        assert abs(np.abs(level).mean() - 0.7) < 5 * 0.05 / len(level) ** 0.5, name
        assert 0.045 < np.abs(level).std() < 0.055, name
    for name in LEVELS:
        assert {round(abs(a - 1) / 0.9, 1) for n, a in calls if n == name} >= {0.6, 0.7, 0.8}
    assert {a for n, a in calls if n == "posterize"} == {6, 7}  # 4 + int(4 * level)
    solarized = np.array([a for n, a in calls if n == "solarize"]) / 256
    assert abs(solarized.mean() - 0.7) < 0.02
    calls.clear()
    repeat(policies.NoisyRandAugment(14, 10), 200)
    assert max(abs(a) for n, a in calls if n == "rotate") == 30  # cut


def test_autoaugment_draws_pairs_with_their_probabilities(monkeypatch):
    calls, clips = record(monkeypatch, policies.AUTOAUGMENT), 6000
    repeat(policies.AutoAugment(), clips)
    assert len(policies.IMAGENET) == 25
    for name in policies.AUTOAUGMENT:
        expected = sum(p for pair in policies.IMAGENET for n, p, _ in pair if n == name) / 25
        assert near(sum(n == name for n, _ in calls), clips, min(expected, 0.99)), name


def test_autoaugment_at_the_strengths_of_its_policy(monkeypatch):
    """Ten equal steps: 0..30 degrees, factors 1 to 0.1 or 1.9, 8..4 bits, from level 255 down."""
    calls = record(monkeypatch, policies.AUTOAUGMENT)
    repeat(policies.AutoAugment(), 3000)
    amounts = {name: sorted({a for n, a in calls if n == name}) for name in policies.AUTOAUGMENT}
    signed = {"rotate": (10, 80 / 3, 30), "shear_x": (1 / 6,)}
    for name, sizes in signed.items():
        assert amounts[name] == pytest.approx(sorted([*sizes, *(-s for s in sizes)]))
    for name, steps in (("color", (0, 2, 4, 8)), ("contrast", (8,)), ("sharpness", (7,))):
        factors = {1 + sign * step / 10 for step in steps for sign in (-1, 1)}
        assert amounts[name] == pytest.approx(sorted(factors)), name
    bits = {step: 8 - np.round(step / 9 * 4) for step in (5, 6, 7, 8)}
    assert amounts["posterize"] == sorted({8 - b for b in bits.values()})
    thresholds = np.linspace(255, 0, 10)[[3, 4, 5, 7, 8]]
    assert amounts["solarize"] == [256 - np.ceil(t) for t in thresholds]


def test_augmix_draws_chains(monkeypatch):
    calls = record(monkeypatch, policies.AUGMIX)
    counts, rng = [], np.random.default_rng(0)
    for _ in range(3000):
        before = len(calls)
        policies.AugMix(3)({"video": np.zeros((1, 1, 8, 8, 3), np.uint8)}, rng)
        counts.append(len(calls) - before)
    assert set(counts) == set(range(3, 10))  # three chains of one to three
    assert abs(np.mean(counts) - 6) < 5 * (3 * 2 / 3 / 3000) ** 0.5
    for name in policies.AUGMIX:
        assert near(sum(n == name for n, _ in calls), len(calls), 1 / 9), name
    degrees = np.abs([a for n, a in calls if n == "rotate"])
    assert 0.3 < degrees.min() < 0.4  # strengths from 0.1 to 3 of 10
    assert 8.9 < degrees.max() < 9
    moves = np.abs([a for n, a in calls if n == "translate_y"])
    assert 0.098 < moves.max() < 0.1
    calls.clear()
    repeat(policies.AugMix(3, chains=2, depth=1), 10)
    assert len(calls) == 20


def test_augmix_mixes_the_clip_with_the_chains(monkeypatch):
    for name, (draw, _) in policies.AUGMIX.items():
        monkeypatch.setitem(policies.AUGMIX, name, (draw, lambda f, a: np.full_like(f, 200)))
    video = np.full((1, 1, 2, 2, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    out = [policies.AugMix()({"video": video}, rng)["video"].ravel() for _ in range(2000)]
    assert all((o == o[0]).all() for o in out)
    # 100 + 100 times a uniform share, for a Beta(1, 1)
    histogram = np.histogram([o[0] for o in out], 10, (100, 200))[0]
    assert all(near(count, 2000, 0.1) for count in histogram)
    for name, (draw, _) in policies.AUGMIX.items():
        monkeypatch.setitem(policies.AUGMIX, name, (draw, lambda f, a: f))
    assert (run(policies.AugMix(), 0) == clip()).all()
