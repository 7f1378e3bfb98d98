"""The loss of an evaluation is that of all samples, however they are divided into batches."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.metrics.prompted import PromptedAccuracy
from jaxvid.metrics.retrieval import Retrieval
from jaxvid.models.bmn import Boundaries
from jaxvid.models.clip import Matched
from jaxvid.train.evaluate import evaluate
from jaxvid.train.step import make_eval_step

SAMPLES, CLASSES, BINS = 6, 3, 8


class Scores(nn.Module):
    """One row of scores for each view."""

    @nn.compact
    def __call__(self, video, *, train):
        return video.reshape(len(video), -1)[:, :CLASSES]


class Boxes(nn.Module):
    """Scores for each box, by its corners."""

    @nn.compact
    def __call__(self, video, boxes, valid, *, train):
        return (
            jnp.sin(boxes[..., :1] + jnp.arange(CLASSES)) + video.mean((1, 2, 3, 4))[:, None, None]
        )


class Segments(nn.Module):
    @nn.compact
    def __call__(self, feature, *, train):
        x = nn.sigmoid(feature)
        cells = jnp.broadcast_to(x[:, :2, None, :BINS], (len(x), 2, BINS, BINS))
        return Boundaries(cells, x[:, :, 0], x[:, :, 1])


class Towers(nn.Module):
    @nn.compact
    def __call__(self, video, text, *, train):
        return Matched(video.reshape(len(video), -1)[:, :5], 1.0 * text, jnp.float32(3.0))


def samples(**arrays: Any) -> dict[str, np.ndarray]:
    index = np.arange(SAMPLES, dtype=np.int32)
    return {"mask": np.ones(SAMPLES, np.float32), "index": index, **arrays}


def clips(rng):
    return rng.integers(0, 256, (SAMPLES, 1, 2, 4, 4, 3)).astype(np.uint8)


def detection(rng):
    corners = rng.uniform(0, 40, (SAMPLES, 4, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(4, 20, (SAMPLES, 4, 2))], -1)
    return samples(
        video=clips(rng),
        boxes=np.float32(boxes[:, :3]),
        box_mask=np.float32((rng.random((SAMPLES, 3)) < 0.6) | [True, False, False]),
        box_label=np.uint8(rng.random((SAMPLES, 3, CLASSES)) < 0.5),
        proposals=np.float32(boxes[:, ::-1]),
        proposal_mask=np.ones((SAMPLES, 4), np.float32),
        scale=np.ones((SAMPLES, 2), np.float32),
    )


def localization(rng):
    starts = rng.uniform(0, 6, (SAMPLES, 2))
    segments = np.stack([starts, starts + rng.uniform(1, 4, (SAMPLES, 2))], -1)
    return samples(
        feature=np.float32(rng.standard_normal((SAMPLES, BINS, 12))),
        duration=np.full(SAMPLES, 10, np.float32),
        segments=np.float32(segments),
        segment_label=np.int32(rng.integers(-1, 1, (SAMPLES, 2)) * [0, 1]),
    )


def retrieval(rng):
    return samples(video=clips(rng), text=rng.integers(1, 50, (SAMPLES, 2, 5)).astype(np.int32))


CASES = {
    "recognition": (
        Scores(),
        lambda rng: samples(video=clips(rng), label=np.arange(SAMPLES, dtype=np.int32) % CLASSES),
    ),
    "multi_label": (
        Scores(),
        lambda rng: samples(video=clips(rng), label=np.eye(CLASSES, dtype=np.int32)[[0, 1, 2] * 2]),
    ),
    "detection": (Boxes(), detection),
    "localization": (Segments(), localization),
    "retrieval": (Towers(), retrieval),
    "prompted": (
        Towers(),
        lambda rng: retrieval(rng) | {"label": np.array([0, 1, 2, 1, 0, 2], np.int32)},
    ),
}


class Nothing:
    """In place of metrics that need more predictions than these."""

    larger_is_better = ()

    def update(self, preds):
        pass

    def compute(self):
        return {}


def value_of(name: str, size: int) -> float:
    """The loss of an evaluation in batches of `size`; the last one is padded with other samples."""
    model, make = CASES[name]
    data = make(np.random.default_rng(1))
    task = plug.load("tasks", dict(name=name), num_classes=CLASSES)
    step = jax.jit(make_eval_step(model, task, loss=True))

    def batches():
        for start in range(0, SAMPLES, size):
            rows = np.arange(start, start + size) % SAMPLES
            batch = {key: np.asarray(x)[rows] for key, x in data.items()}
            yield batch | {"mask": np.float32(np.arange(start, start + size) < SAMPLES)}

    metrics = task.metrics() if task.compares else [Nothing()]
    return evaluate(step, {}, batches(), metrics)["loss"]


@pytest.mark.parametrize("name", CASES)
def test_the_loss_does_not_depend_on_the_batch(name):
    whole = value_of(name, SAMPLES)
    assert np.isfinite(whole) and whole > 0.01
    for size in (1, 2, 4):
        assert value_of(name, size) == pytest.approx(whole, rel=1e-5), size


@pytest.mark.parametrize("name", ["retrieval", "prompted"])
def test_the_contrastive_loss_is_that_of_one_batch_in_training(name):
    model, make = CASES[name]
    data, task = (
        make(np.random.default_rng(1)),
        plug.load("tasks", dict(name=name), num_classes=CLASSES),
    )
    ready = task.prepare(jax.random.key(0), data, train=True)
    out = model.apply({}, **task.inputs(ready), train=True)
    preds = {k: np.asarray(v) for k, v in task.predict(out, ready).items()} | {"mask": data["mask"]}
    metric = Retrieval() if name == "retrieval" else PromptedAccuracy(CLASSES, 1.0)
    metric.update(preds)
    assert metric.compute()["loss"] == pytest.approx(float(task.loss(out, ready)[0]), rel=1e-5)
