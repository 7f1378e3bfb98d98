"""Parts of a batch that go through one after the other give the gradient of the whole batch."""

from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.models.clip4clip import Matched
from jaxvid.tasks.multi_label import MultiLabel
from jaxvid.tasks.retrieval import Retrieval
from jaxvid.train import gradient as gradients
from jaxvid.train.gradient import gradient

ROWS, CLASSES = 12, 5
CATEGORIES = (("a", 3), ("b", 2))


class Classify(nn.Module):
    rate: float = 0.0

    @nn.compact
    def __call__(self, video, *, train):  # (b v, t, h, w, 3)
        x = nn.Dense(7, name="in")(video.mean((1, 2, 3)))
        x = nn.BatchNorm(use_running_average=not train)(x) if self.rate else x
        x = nn.Dropout(self.rate, deterministic=not train)(nn.tanh(x))
        return nn.Dense(CLASSES, name="out")(x)


class Match(nn.Module):
    rate: float = 0.0

    @nn.compact
    def __call__(self, video, text, *, train):
        pixels = nn.Dense(6, name="video")(video.mean((1, 2, 3)))
        words = nn.Dense(6, name="text")(text.astype(jnp.float32))
        pixels = nn.Dropout(self.rate, deterministic=not train)(pixels)
        return Matched(pixels, words, self.param("scale", nn.initializers.constant(2.0), ()))


def batch(views=1, mask=None):
    rng = np.random.default_rng(0)
    known = np.repeat(rng.random((ROWS, 2)) < 0.5, [3, 2], 1).astype(np.float32)
    return {
        "video": rng.integers(0, 256, (ROWS, views, 2, 4, 4, 3), np.uint8),
        "text": rng.integers(1, 9, (ROWS, 1, 4)).astype(np.int32),
        "label": (rng.random((ROWS, CLASSES)) < 0.4) * known.astype(np.int32),
        "label_mask": known,
        "mask": np.ones(ROWS, np.float32) if mask is None else np.array(mask, np.float32),
    }


def found(model: Any, task: Any, data, count):
    """Gradient, new state and logs."""
    ready = task.prepare(jax.random.key(1), data, train=True)
    variables = model.init(jax.random.key(2), **task.inputs(ready), train=False)
    params = variables.pop("params")
    return gradient(model, task, count)(params, variables, ready, jax.random.key(3))


def close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), got, want)


SKIPPED = [1, 0, 0, 1, 1, 1, 0, 1, 0, 1, 1, 1]
several = MultiLabel(num_classes=CLASSES, categories=CATEGORIES)
weighed = replace(several, category_weights=(1.0, 3.0))
retrieval = Retrieval(num_classes=0)


@pytest.mark.parametrize("mask", [None, SKIPPED])
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(
    "task,model,views",
    [(several, Classify(), 1), (weighed, Classify(), 2), (retrieval, Match(), 1)],
    ids=["several labels", "weighed categories", "contrastive"],
)
def test_parts_are_exact(task, model, views, count, mask):
    data = batch(views, mask)
    grads, _, logs = found(model, task, data, 1)
    assert all(np.abs(leaf).max() > 1e-4 for leaf in jax.tree.leaves(grads))
    close(found(model, task, data, count)[::2], (grads, logs))


def test_a_mean_over_parts_would_not_do_for_contrastive_losses():
    want, _, _ = found(Match(), retrieval, batch(), 1)
    ready = retrieval.prepare(jax.random.key(1), batch(), train=True)
    params = Match().init(jax.random.key(2), **retrieval.inputs(ready), train=False)["params"]
    got, _, _ = gradients.parts(Match(), retrieval, 2)(params, {}, ready, jax.random.key(3))
    gaps = jax.tree.map(lambda a, b: float(np.abs(a - b).max() / np.abs(b).max()), got, want)
    assert max(jax.tree.leaves(gaps)) > 0.1


def test_both_passes_draw_the_same():
    """Against one pass over the parts, differentiated as it is."""
    model: Any = Match(rate=0.5)
    ready = retrieval.prepare(jax.random.key(1), batch(), train=True)
    params = model.init(jax.random.key(2), **retrieval.inputs(ready), train=False)["params"]
    rng = jax.random.key(3)

    def loss(params):
        found = []
        for i in range(3):
            rows = {k: x[i::3] for k, x in ready.items()}
            key = jax.random.fold_in(rng, i)
            found.append(gradients.outputs(model, retrieval, params, {}, rows, key)[0])
        order = np.argsort(np.concatenate([np.arange(i, ROWS, 3) for i in range(3)]))
        video, text = (
            jnp.concatenate([getattr(o, key) for o in found])[order] for key in ("video", "text")
        )
        return retrieval.loss(Matched(video, text, found[0].scale), ready)[0]

    close(gradient(model, retrieval, 3)(params, {}, ready, rng)[0], jax.grad(loss)(params))


def test_the_state_is_that_of_one_part_after_the_other():
    class Compared(MultiLabel):
        compares = True

    options: Any = dict(num_classes=CLASSES, categories=CATEGORIES)
    data = batch()
    got, want = (
        found(Classify(rate=0.3), task, data, 3)
        for task in (Compared(**options), MultiLabel(**options))
    )
    close(got, want)
    assert not np.allclose(jax.tree.leaves(got[1])[0], 0)
