"""Masked pre-training: what is hidden, what is restored, and the loss."""

import jax
import numpy as np
import pytest
from einops import rearrange

from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.ops import masking

KEY = jax.random.key(3)


def task(**options):
    given = dict(patch=(2, 4, 4), ratio=0.75) | options
    return plug.load("tasks", dict(name="masked", **given), num_classes=1)


def batch(views=1, frames=4, size=16):
    rng = np.random.default_rng(0)
    video = rng.integers(0, 256, (3, views, frames, size, size, 3)).astype(np.uint8)
    return {"video": video, "mask": np.float32([1, 1, 0])}


def numbers(ready):
    return np.asarray(ready["visible"]), np.asarray(ready["hidden"])


@pytest.mark.parametrize("kind,unit,count", [("tube", (1, 1, 1), 32), ("random", (1, 2, 2), 8)])
def test_each_unit_is_visible_or_hidden(kind, unit, count):
    visible, hidden = numbers(task(hide=kind, unit=unit).prepare(KEY, batch(2), True))
    assert visible.shape == (3, 2, count // 4) and hidden.shape == (3, 2, 3 * count // 4)
    both = np.sort(np.concatenate([visible, hidden], -1))
    np.testing.assert_array_equal(both, np.broadcast_to(np.arange(count), both.shape))
    assert (np.diff(visible) > 0).all() and (np.diff(hidden) > 0).all()
    assert len(np.unique(hidden.reshape(6, -1), axis=0)) == 6  # each view has its own draw


def test_a_tube_hides_the_same_places_in_all_frames():
    _, hidden = numbers(task().prepare(KEY, batch(), True))
    first, second = hidden.reshape(3, 2, 12).swapaxes(0, 1)
    np.testing.assert_array_equal(first + 16, second)


@pytest.mark.long
def test_draws_follow_from_the_key_and_evaluation_hides_the_same_of_all():
    made = task(hide="random")
    one, two, other = (
        made.prepare(k, batch(), True)["hidden"] for k in (KEY, KEY, jax.random.key(4))
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    _, hidden = numbers(made.prepare(KEY, batch(2), False))
    np.testing.assert_array_equal(hidden, np.broadcast_to(hidden[:1, :1], hidden.shape))


@pytest.mark.parametrize(
    "kind,grid,ratio,hidden",
    [
        (masking.tubes, (8, 14, 14), 0.9, 8 * 176),  # VideoMAE's published number
        (masking.random, (8, 7, 7), 0.6, 236),  # Hiera's, which rounds what is visible
        (masking.random, (1, 5, 2), 0.9, 9),
    ],
)
def test_as_many_are_hidden_as_published(kind, grid, ratio, hidden):
    visible, numbers = kind(KEY, 2, grid, ratio)
    assert numbers.shape == (2, hidden) and visible.shape[1] == np.prod(grid) - hidden


def test_patches_of_units_are_numbered_in_the_grid_of_patches():
    grid, inside = (2, 3, 2), (1, 2, 2)
    marks = np.zeros((2, 6, 4), int)
    units = np.array([[0, 5, 7]])
    for unit in units[0]:
        t, y, x = np.unravel_index(unit, grid)
        marks[t, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = 1
    found = masking.patches_of(jax.numpy.asarray(units), grid, inside)
    np.testing.assert_array_equal(found[0], np.flatnonzero(marks))


def cut(video, size):
    a, i, j = size
    return rearrange(video, "b v (t a) (h i) (w j) c -> (b v) (t h w) (a i j) c", a=a, i=i, j=j)


@pytest.mark.parametrize("target", ["channel", "patch", "pixels"])
def test_targets_are_the_normalized_pixels_of_hidden_patches(target):
    made = task(target=target)
    ready = made.prepare(KEY, batch(), True)
    x = cut(batch()["video"] / 255.0, (2, 4, 4))
    if target == "channel":
        x = (x - x.mean(2, keepdims=True)) / (x.std(2, ddof=1, keepdims=True) + 1e-6)
    if target == "patch":
        x = cut((batch()["video"] - np.array(made.mean)) / np.array(made.std), (2, 4, 4))
        x = (x - x.mean((2, 3), keepdims=True)) / x.std((2, 3), ddof=1, keepdims=True)
    want = x.reshape(3, 32, -1)[np.arange(3)[:, None], np.asarray(ready["hidden"])[:, 0]]
    np.testing.assert_allclose(made.targets(ready), want, rtol=1e-3, atol=1e-4)


@pytest.mark.long
def test_only_some_frames_of_a_patch_are_restored():
    made = task(frame_step=2, target="pixels", unit=(1, 2, 2))
    ready = made.prepare(KEY, batch(), True)
    found = np.asarray(made.targets(ready))
    assert found.shape == (3, 24, 48)
    x = cut(batch()["video"][:, :, ::2] / 255.0, (1, 4, 4)).reshape(3, 32, -1)
    patches = masking.patches_of(ready["hidden"][:, 0], (2, 2, 2), (1, 2, 2))
    np.testing.assert_allclose(found, x[np.arange(3)[:, None], patches], rtol=1e-5)


@pytest.mark.long
def test_the_loss_is_the_mean_over_unmasked_clips():
    made = task()
    ready = made.prepare(KEY, batch(2), True)
    error = np.arange(6.0)[:, None, None]
    loss, _ = made.loss(made.targets(ready) + error, ready)
    assert float(loss) == pytest.approx((0 + 1 + 4 + 9) / 4, rel=1e-4)
    preds = made.predict(made.targets(ready) + error, ready)
    np.testing.assert_allclose(preds["error"], [0.5, 6.5, 20.5], rtol=1e-4)


@pytest.mark.parametrize(
    "options,message",
    [
        (dict(patch=(2, 5, 4)), "units of 2 x 5 x 4 pixels do not fit clips of 4 x 16 x 16"),
        (dict(ratio=0.01), "ratio=0.01 hides no unit"),
    ],
)
def test_what_does_not_fit_is_an_error(options, message):
    with pytest.raises(UserError, match=message):
        task(**options).prepare(KEY, batch(), True)
