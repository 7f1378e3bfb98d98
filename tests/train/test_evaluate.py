"""Evaluation counts every sample once, for any number of samples, batch size and devices."""

import jax
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.data.loading import loader
from jaxvid.data.sample import Source
from jaxvid.distributed import mesh as meshes
from jaxvid.train.evaluate import Predictions, batch_size, evaluate
from jaxvid.train.step import Compiled, init_variables, make_eval_step
from tests.conftest import fill

SAMPLES, CLASSES = 13, 5


class Clips(Source):
    """A source of noise in memory."""

    names, origin = (), "memory"
    labels = np.arange(SAMPLES, dtype=np.int32) % CLASSES

    def __getitem__(self, index):
        video = np.random.default_rng(index).integers(0, 256, (3, 4, 16, 16, 3), np.uint8)
        return {"video": video, "label": self.labels[index]}

    def id(self, index):
        return f"clip {index}"


@pytest.fixture(scope="module")
def expected():
    """Scores of all clips at once, views and all, on one device."""
    net = plug.load("models", dict(name="swin", variant="test"), num_classes=CLASSES)
    task = plug.load("tasks", dict(name="recognition"), num_classes=CLASSES)
    batch = {
        "video": np.stack([Clips()[i]["video"] for i in range(SAMPLES)]),
        "label": Clips.labels,
        "mask": np.ones(SAMPLES, np.float32),
        "index": np.arange(SAMPLES, dtype=np.int32),
    }
    shapes = jax.eval_shape(lambda b: init_variables(net, task, b, 0), batch)
    variables = fill(shapes)
    return net, task, variables, jax.jit(make_eval_step(net, task, 0))(variables, batch)["score"]


@pytest.mark.parametrize("batch,data,model", [(8, 8, 1), (4, 2, 4), (16, 8, 1), (5, 8, 1)])
def test_every_sample_counts_once(batch, data, model, expected):
    net, task, variables, want = expected
    mesh = meshes.build(data, model)
    size = batch_size({"eval_batch": batch, "batch": 1}, mesh)
    assert size >= batch
    batches = loader.eval_batches(Clips(), [], batch=size, workers=0)
    step = Compiled(make_eval_step(net, task, 1), out_shardings=meshes.replicated(mesh))
    collected = Predictions()
    placed = jax.device_put(variables, meshes.replicated(mesh))
    ready = (meshes.put_batch(mesh, b) for b in batches)
    metrics = evaluate(step, placed, ready, [*task.metrics(), collected])
    table = collected.table()
    assert table["index"].tolist() == list(range(SAMPLES))
    np.testing.assert_allclose(table["score"], want, rtol=1e-5)
    assert metrics["n"] == SAMPLES
    assert metrics["top1"] == pytest.approx((np.argmax(want, 1) == Clips.labels).mean())
    assert step.count == 1


def test_a_diverged_batch_is_not_hidden(expected):
    """NaN scores are never right."""
    metric = expected[1].metrics()[0]
    metric.update(
        {"score": np.full((2, CLASSES), np.nan), "label": np.zeros(2, int), "mask": np.ones(2)}
    )
    assert metric.compute()["top1"] == 0
