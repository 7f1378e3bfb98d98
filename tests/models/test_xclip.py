"""X-CLIP: frames that hear of each other, and texts that see the video."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.models.clip import Matched
from jaxvid.tasks.text_classes import TextClasses
from jaxvid.train.step import init_variables
from tests.conftest import fill

TEXT = np.array([[[60, 5, 9, 63, 0, 0, 0, 0], [60, 7, 63, 0, 0, 0, 0, 0]]], np.int32)


def video(seed=0):
    return np.random.default_rng(seed).standard_normal((2, 3, 32, 32, 3)).astype(np.float32)


@functools.cache
def model():
    small = dict(prompts=1, text=dict(depth=1))
    net = plug.load("models", dict(name="xclip", variant="test", **small))
    arrays = dict(video=jnp.zeros((2, 3, 32, 32, 3)), text=jnp.asarray(TEXT))
    variables = jax.eval_shape(lambda x: net.init(jax.random.key(0), **x, train=False), arrays)
    return fill(variables), jax.jit(lambda v, x: net.apply(v, **x, train=False)), net


def out(**arrays):
    variables, apply, _ = model()
    return apply(variables, arrays)


def test_frames_hear_of_each_other_in_the_patches():
    variables, _, net = model()
    apply = jax.jit(lambda x: net.backbone.apply(only, x, train=False))
    only = {"params": variables["params"]["backbone"]}
    x, y = video(), video()
    y[:, 2] += 1
    for before, after in zip(apply(x), apply(y), strict=True):
        assert before.shape[:2] == (2, 3)  # the message itself is gone
        assert np.abs(before[:, :2] - after[:, :2]).max() > 1e-4


def test_a_text_sees_its_video():
    both = out(video=video(), text=TEXT)
    assert both.text.shape == (2, 2, 8)
    assert np.abs(both.text[0] - both.text[1]).max() > 1e-4
    swapped = out(video=video()[::-1], text=TEXT[:, ::-1])
    np.testing.assert_allclose(swapped.text[::-1, ::-1], both.text, rtol=1e-4, atol=1e-5)


def test_features_of_texts_stand_for_the_texts():
    before = out(text=TEXT).text
    assert before.shape == (1, 2, 8)
    seen = out(video=video(), text=before).text
    np.testing.assert_allclose(seen, out(video=video(), text=TEXT).text, rtol=1e-4, atol=1e-5)


def test_a_loss_that_compares_videos_is_an_error():
    *_, net = model()
    task = plug.load("tasks", dict(name="prompted"), num_classes=2)
    batch = dict(video=jnp.zeros((2, 1, 3, 32, 32, 3)), text=jnp.asarray(TEXT).repeat(2, 0))
    with pytest.raises(UserError, match=r"the texts of XCLIP see the video.*xclip_own"):
        jax.eval_shape(lambda: init_variables(net, task, batch, 0))


# The task of its training


def test_the_loss_and_the_accuracy_are_over_all_classes():
    rng, label = np.random.default_rng(0), np.array([2, 0, 1])
    text, clip = rng.standard_normal((3, 6, 5)), rng.standard_normal((3, 5))
    cosine = np.einsum("bnf,bf->bn", text, clip)
    cosine /= np.linalg.norm(text, axis=-1) * np.linalg.norm(clip, axis=-1, keepdims=True)
    score = 3 * cosine.reshape(3, 3, 2)  # two texts of each class
    log = score - np.log(np.exp(score).sum(1, keepdims=True))
    want = -log[[0, 1], label[:2]].mean()
    found = jax.tree.map(jnp.asarray, Matched(clip, text, np.float32(3)))
    batch = dict(label=jnp.asarray(label), mask=jnp.array([1.0, 1.0, 0.0]))
    task = TextClasses(num_classes=3, temperature=3.0)
    loss, _ = task.loss(found, batch)
    assert loss == pytest.approx(want, rel=1e-5)

    preds = {k: np.asarray(x) for k, x in task.predict(found, batch).items()}
    np.testing.assert_allclose(task.scores(preds), np.exp(log).mean(2), rtol=1e-4)
    (metric,) = task.metrics()
    metric.update(preds | {"mask": np.ones(3)})
    assert metric.compute()["top1"] == pytest.approx((log.mean(2).argmax(1) == label).mean())
    named = task.describe({k: x[0] for k, x in preds.items()}, ("a", "b", "c"), 1)
    assert named.labels == (("a", "b", "c")[np.exp(log[0]).mean(1).argmax()],)
    with pytest.raises(UserError, match=r"6 texts for 4 classes.*all_texts"):
        TextClasses(num_classes=4).loss(found, batch)
