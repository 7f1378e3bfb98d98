"""Batch normalization of a run on eight devices, against NumPy."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvid import plug
from jaxvid.config.settings import Settings
from jaxvid.distributed import mesh as meshes
from jaxvid.distributed.watchdog import Watchdog
from jaxvid.errors import UserError
from jaxvid.layers.norm import BatchNorm
from jaxvid.train.batch_norm import PreciseStatistics, with_groups
from jaxvid.train.plan import plan
from jaxvid.train.step import make_train_step
from tests.conftest import ROWS

CLASSES = 3


class Net(nn.Module):
    """Two normalizations, the second of what the first gives."""

    bn_groups: int = 1

    @nn.compact
    def __call__(self, video, *, train):
        x = BatchNorm(groups=self.bn_groups, name="first")(video, train=train)
        x = BatchNorm(momentum=0.5, name="second")(jnp.square(x), train=train)
        return nn.Dense(CLASSES, name="fc")(x.mean((1, 2, 3)))


class Task:
    """Recognition without augmentation, of floats."""

    compares = False

    def prepare(self, rng, batch, train):
        return batch

    def inputs(self, batch):
        return {"video": batch["video"]}

    def loss(self, out, batch):
        target = jax.nn.one_hot(batch["label"], CLASSES)
        return optax.softmax_cross_entropy(out, target).mean(), {}


def batch(seed):
    rng = np.random.default_rng(seed)
    return {
        "video": (rng.standard_normal((ROWS, 2, 3, 3, 3)) * [1, 2, 3] + [0, 5, -2]).astype("f4"),
        "label": rng.integers(0, CLASSES, ROWS).astype("i4"),
        "mask": np.ones(ROWS, "f4"),
        "index": np.arange(ROWS, dtype="i4"),
    }


def planned(net: nn.Module | None = None, freeze=(), **keys):
    mesh = meshes.build(8, 1)
    optimizer = dict(name="sgd", lr=0.1, momentum=0.0, nesterov=False, freeze=freeze)
    settings = dataclasses.asdict(Settings(**{"batch": ROWS, "dtype": "float32", **keys}))
    config: Any = SimpleNamespace(
        **settings | dict(optim=optimizer, schedule=dict(name="constant"))
    )
    config.init = SimpleNamespace(**settings["init"])
    task: Any = Task()
    made = plan(config, net or Net(), task, mesh, meshes.put_batch(mesh, batch(0)), 10.0)
    place = made.state_shardings
    return made, jax.jit(made.fresh, out_shardings=place)(meshes.put_batch(mesh, batch(0)))


def normalized(x):  # (b, ..., c) -> the same
    rows = x.reshape(-1, x.shape[-1])
    return (x - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5)


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("accumulate,groups,ema", [(2, 1, 0.9), (1, 8, 0.0)])
def test_precise_statistics_are_those_of_all_batches(accumulate, groups, ema):
    """Mean and variance of what each layer sees, with the statistics of its batch before it."""
    made, state = planned(Net(groups), precise_bn=3, accumulate=accumulate, ema=ema)
    asked = []

    def batches(start, stop):
        asked.append((start, stop))
        return iter([batch(i) for i in range(start, stop)])

    found, stopped = PreciseStatistics(made, batches, Watchdog(0))(state, 7)
    stats: Any = jax.tree.map(np.asarray, found.model_state["batch_stats"])
    assert asked == [(7, 10)] and not stopped
    videos = [batch(i)["video"].astype(np.float64) for i in (7, 8, 9)]
    inputs = np.concatenate(videos).reshape(-1, 3)
    close(stats["first"]["mean"], inputs.mean(0))
    close(stats["first"]["var"], inputs.var(0))
    # A micro-batch has every second row; a group has consecutive rows.
    parts = [video[i::accumulate] for video in videos for i in range(accumulate)]
    parts = [row for part in parts for row in np.split(part, groups)]
    second = np.concatenate([normalized(part) ** 2 for part in parts]).reshape(-1, 3)
    close(stats["second"]["mean"], second.mean(0))
    close(stats["second"]["var"], second.var(0))
    assert found.params is state.params and found.opt_state is state.opt_state
    shardings = [x.sharding for x in jax.tree.leaves(found.model_state)]
    assert shardings == [x.sharding for x in jax.tree.leaves(state.model_state)]


def test_precise_statistics_need_batch_normalization_and_a_moment():
    made, state = planned(precise_bn=2)
    batches = lambda start, stop: iter([batch(i) for i in range(start, stop)])  # noqa: E731
    found = PreciseStatistics(made, batches, Watchdog(0))(state, 0, lambda: True)
    assert found[0] is state and found[1]
    off, _ = planned()
    assert PreciseStatistics(off, batches, Watchdog(0))(state, 0)[0] is state

    class Plain(nn.Module):
        @nn.compact
        def __call__(self, video, *, train):
            return nn.Dense(CLASSES)(video.mean((1, 2, 3)))

    with pytest.raises(UserError, match="precise_bn=2: the model has no batch normalization"):
        PreciseStatistics(planned(Plain(), precise_bn=2)[0], batches, Watchdog(0))


def test_a_frozen_scale_freezes_its_statistics():
    """As MMAction2's `frozen_stages` and `partial_bn` do; the other layer is trained."""
    freeze = ("first/.*",)
    made, state = planned(freeze=freeze)
    data = meshes.put_batch(made.mesh, batch(1))
    step = jax.jit(make_train_step(made.model, made.task, made.tx, freeze=freeze))
    new, logs = step(state, data)
    one, other = state.model_state["batch_stats"], new.model_state["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, one["first"], other["first"])
    jax.tree.map(np.testing.assert_array_equal, state.params["first"], new.params["first"])
    # The running statistics are 0 and 1 at first, so the second layer sees the squared input.
    seen = (batch(1)["video"].astype(np.float64) ** 2 / (1 + 1e-5)).reshape(-1, 3)
    close(other["second"]["mean"], 0.5 * seen.mean(0))
    close(other["second"]["var"], 0.5 + 0.5 * seen.var(0, ddof=1))
    assert np.abs(new.params["second"]["scale"] - state.params["second"]["scale"]).max() > 0
    norms = jax.tree.map(lambda a, b: (a - b) / 0.1, state.params, new.params)
    assert float(logs["grad_norm"]) == pytest.approx(float(optax.tree.norm(norms)), rel=1e-3)


def test_groups_of_a_model_change_in_all_its_parts():
    spec = dict(name="slowfast", variant="test", bn_groups=4)
    net: Any = plug.load("models", spec, num_classes=CLASSES)
    assert with_groups(net, lambda groups: groups // 2).backbone.bn_groups == 2
    assert net.backbone.bn_groups == 4
    swin = plug.load("models", dict(name="swin", variant="test"), num_classes=CLASSES)
    assert with_groups(swin, lambda groups: 7) is swin
