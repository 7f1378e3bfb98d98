"""Micro-batches give the gradient of the full batch."""

from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvid.models.clip import Matched
from jaxvid.tasks.base import Task
from jaxvid.tasks.multi_label import MultiLabel
from jaxvid.tasks.retrieval import Retrieval
from jaxvid.train.step import forward, init_state, make_train_step

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


# An optimizer that changes nothing, and whose state is the gradient.
SHOWS_GRADIENT = optax.GradientTransformation(
    lambda params: jax.tree.map(jnp.zeros_like, params),
    lambda grads, state, params=None: (jax.tree.map(jnp.zeros_like, grads), grads),
)


def state_of(model: Any, task: Task, data):
    """The state before the first step, and the random keys of that step."""
    ready = task.prepare(jax.random.key(1), data, train=False)
    variables = model.init(jax.random.key(2), **task.inputs(ready), train=False)
    state = init_state(variables, SHOWS_GRADIENT, 3, 0.0)
    return state, jax.random.split(jax.random.fold_in(jax.random.key(3), 0))


def found(model: Any, task: Any, data, count):
    """Gradient, new state and logs of a step."""
    step = make_train_step(model, task, SHOWS_GRADIENT, count)
    after, logs = step(state_of(model, task, data)[0], data)
    del logs["grad_norm"]
    return after.opt_state, after.model_state, logs


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
    class Averaged(Retrieval):
        compares = False

    want, _, _ = found(Match(), retrieval, batch(), 1)
    got, _, _ = found(Match(), Averaged(num_classes=0), batch(), 2)
    gaps = jax.tree.map(lambda a, b: float(np.abs(a - b).max() / np.abs(b).max()), got, want)
    assert max(jax.tree.leaves(gaps)) > 0.1


def test_both_passes_draw_the_same():
    """Against one pass over the parts, differentiated as it is."""
    model: Any = Match(rate=0.5)
    state, (augment, rng) = state_of(model, retrieval, batch())
    ready = retrieval.prepare(augment, batch(), train=True)

    def loss(params):
        outputs = []
        for i in range(3):
            rows = {k: x[i::3] for k, x in ready.items()}
            key = jax.random.fold_in(rng, i)
            outputs.append(forward(model, retrieval, params, {}, rows, key)[0])
        order = np.argsort(np.concatenate([np.arange(i, ROWS, 3) for i in range(3)]))
        video, text = (
            jnp.concatenate([getattr(o, key) for o in outputs])[order] for key in ("video", "text")
        )
        return retrieval.loss(Matched(video, text, outputs[0].scale), ready)[0]

    close(found(model, retrieval, batch(), 3)[0], jax.grad(loss)(state.params))


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
