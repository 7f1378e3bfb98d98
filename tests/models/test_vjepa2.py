"""V-JEPA 2: rotary positions with a mistake that its weights rely on, classifier and predictor."""

import jax
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.models import vjepa2
from jaxvid.ops.position import rotate
from tests.conftest import fill

D = 20  # channels of a head: 6 for each axis, and 2 that are not rotated


def rotated(x, position, paired=False):
    """A head (d,) at a position (t, h, w), channel by channel."""
    y = np.array(x, np.float64)
    for axis, p in enumerate(position):
        for i in range(6):
            frequency = 10000 ** (-(i // 2 if paired else i % 3) / 3)
            other = -x[6 * axis + i + 1] if i % 2 == 0 else x[6 * axis + i - 1]
            angle = p * frequency
            y[6 * axis + i] = np.cos(angle) * x[6 * axis + i] + np.sin(angle) * other
    return y


@pytest.mark.parametrize("paired", [False, True])
def test_channels_are_rotated_by_the_position_on_their_axis(paired):
    x = np.random.default_rng(0).standard_normal(D).astype(np.float32)
    index = 2 * 12 + 1 * 4 + 3  # of a token in frames of 3 x 4
    positions = vjepa2.places(np.array([index]), (3, 4))
    np.testing.assert_array_equal(positions, [[2, 1, 3]])
    found = rotate(x[None, None], vjepa2.angles(positions, D, paired))[0, 0]
    np.testing.assert_allclose(found, rotated(x, (2, 1, 3), paired), atol=1e-6)
    assert np.allclose(np.linalg.norm(found), np.linalg.norm(x)) == paired  # of a true rotation


def test_positions_in_space_can_be_those_of_another_grid():
    positions = vjepa2.places(np.arange(8), (2, 4), space=16)
    np.testing.assert_allclose(positions[-1], [0, 15, 15])
    np.testing.assert_allclose(positions[1], [0, 0, 5])


def run(net, *arrays, **options):
    """The output with filled variables."""
    shapes = jax.eval_shape(
        lambda x: net.init(jax.random.key(0), *x, train=False, **options), arrays
    )
    apply = jax.jit(lambda v, x: net.apply(v, *x, train=False, **options))
    return apply(fill(shapes), arrays)


def features(video, **options):
    return run(vjepa2.backbone("test", depth=2, **options), video)


def video(t=4, h=32, w=32):
    return np.random.default_rng(0).standard_normal((1, t, h, w, 3)).astype(np.float32)


def test_an_image_is_a_clip_of_equal_frames():
    image = video(1)
    np.testing.assert_array_equal(features(image), features(np.repeat(image, 2, 1)))


def test_layers_are_joined_in_time():
    both = features(video(), layers=(0, 1))
    assert both.shape == (1, 4, 2, 2, 16)
    np.testing.assert_array_equal(both[:, 2:], features(video()))
    assert not np.allclose(both[:, :2], both[:, 2:])


def test_joined_clips_are_seen_one_by_one():
    clips = video(8)
    found = features(clips, clips=2)
    halves = [features(clips[:, :4]), features(clips[:, 4:])]
    np.testing.assert_allclose(found, np.concatenate(halves, 1), atol=1e-5)


@pytest.mark.parametrize(
    "clip,options,message",
    [
        (video(3), {}, "these have 3 frames of 32 x 32 pixels"),
        (video(4, 32, 40), {}, "these have 4 frames of 32 x 40 pixels"),
        (video(6), dict(clips=2), "takes 2 joined clips .* these have 6 frames"),
        (video(), dict(layers=(0, 2)), "the blocks of this model are 0 to 1"),
    ],
)
def test_clips_and_layers_that_do_not_fit_are_errors(clip, options, message):
    with pytest.raises(UserError, match=message):
        features(clip, **options)


def test_the_classifier_sees_tokens_without_their_order():
    head = plug.load(
        "models", dict(name="vjepa2", variant="test", pool_depth=1), num_classes=5
    ).head
    x = np.random.default_rng(0).standard_normal((1, 6, 1, 1, 16)).astype(np.float32)
    found = run(head, np.concatenate([x, x[:, ::-1], x[:, :3].repeat(2, 1)]))
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    assert not np.allclose(found[0], found[2], atol=1e-2)


def test_predictions_follow_the_targets_and_not_the_order_of_the_context():
    net = vjepa2.Predictor(features=16, width=24, depth=1, heads=2, tokens=3)
    x = np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32)
    order = np.array([2, 0, 3, 1])
    context, target = np.array([0, 5, 2, 7]), np.array([6, 1, 3])
    x = np.stack([x, x[order]])
    context, target = np.stack([context, context[order]]), np.stack([target, target[::-1]])
    found = run(net, x, context, target, grid=(2, 2))
    assert found.shape == (2, 3, 16)
    np.testing.assert_allclose(found[1, ::-1], found[0], atol=1e-5)
    assert not np.allclose(found[0, 0], found[0, 1], atol=1e-3)  # each has its position
    other = run(net, x, context, target, grid=(2, 2), token=2)
    assert not np.allclose(other, found, atol=1e-3)
