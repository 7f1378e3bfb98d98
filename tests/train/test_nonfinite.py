"""What is not finite is found, named, and leaves no trace."""

from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError
from jaxvid.train import nonfinite
from jaxvid.train.step import init_state, init_variables, make_train_step

ROWS = 8


class Net(nn.Module):
    """Three layers, of which the second divides by a parameter."""

    @nn.compact
    def __call__(self, video, *, train):
        x = nn.Dense(4, name="first")(video)
        x = Second(name="second")(x)
        x = nn.BatchNorm(not train, name="norm")(x)
        return nn.Dense(1, name="third")(x)[:, 0]


class Second(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(4, name="inner")(x) / self.param("divisor", nn.initializers.ones, ())


class Task:
    compares = False

    def prepare(self, rng, batch, train):
        return batch

    def inputs(self, batch):
        return {"video": batch["video"]}

    def loss(self, out, batch):
        return jnp.square(out - batch["label"]).mean(), {}


def source():
    return SimpleNamespace(id=lambda row: f"clip{row}.mp4")


@pytest.fixture
def setup():
    net, task = Net(), Task()
    rng = np.random.default_rng(0)
    batch = dict(
        video=jnp.asarray(rng.standard_normal((ROWS, 3)), jnp.float32),
        label=jnp.ones(ROWS),
        mask=jnp.ones(ROWS),
        index=jnp.arange(ROWS) + 100,
    )
    tx = optax.adam(lambda count: 0.1)
    state = init_state(init_variables(net, task, batch, 0), tx, 0, 0.9)
    step = jax.jit(make_train_step(net, task, tx, ema=0.9))
    planned = SimpleNamespace(model=net, task=task, mesh=meshes.build())
    return planned, step, state, batch


def same(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), a, b))


def with_divisor(state, value):
    params = {**state.params, "second": {**state.params["second"], "divisor": jnp.float32(value)}}
    return state.replace(params=params)


def test_a_batch_that_is_not_finite_changes_nothing_but_counts(setup):
    _, step, state, batch = setup
    bad = batch | {"video": batch["video"].at[2].set(jnp.nan)}
    after, logs = step(state, bad)
    assert np.isnan(logs["loss"])
    for part in ("params", "model_state", "ema"):
        assert same(getattr(after, part), getattr(state, part))
    assert after.step == state.step + 1
    counts = [int(x) for x in jax.tree.leaves(after.opt_state) if x.dtype == jnp.int32]
    assert counts and set(counts) == {1}  # the rate goes on
    moments = [x for x in jax.tree.leaves(after.opt_state) if x.dtype == jnp.float32]
    assert all((x == 0).all() for x in moments)


def test_a_batch_that_is_finite_changes_all(setup):
    _, step, state, batch = setup
    after, logs = step(state, batch)
    assert np.isfinite(logs["loss"])
    assert not same(after.params, state.params)
    assert not same(after.ema, state.ema)
    assert not same(after.model_state, state.model_state)


def test_the_first_bad_layer_is_named_with_all_samples(setup):
    planned, _, state, batch = setup
    where, rows = nonfinite.first_bad(planned, with_divisor(state, 0.0), batch, 1)
    assert where == "the output of second is not finite"
    assert rows == tuple(range(100, 100 + ROWS))


def test_bad_samples_are_named(setup):
    planned, _, state, batch = setup
    bad = batch | {"video": batch["video"].at[2].set(jnp.inf).at[5, 1].set(jnp.nan)}
    where, rows = nonfinite.first_bad(planned, state, bad, 1)
    assert where == "video of the batch, after augmentation, is not finite"
    assert rows == (102, 105)


def test_a_value_too_large_for_a_layer_is_told_from_a_bad_one(setup):
    planned, _, state, batch = setup
    bad = batch | {"video": batch["video"].at[3].set(3e38)}
    where, rows = nonfinite.first_bad(planned, state, bad, 1)
    assert where == "the output of first is not finite"
    assert rows == (103,)


def test_a_gradient_alone_may_be_bad(setup):
    planned, _, state, batch = setup

    class Root(Task):
        def loss(self, out, batch):
            return jnp.sqrt(jnp.square(out - jax.lax.stop_gradient(out)).sum()), {}

    planned.task = Root()
    where, rows = nonfinite.first_bad(planned, state, batch, 1)
    assert where.startswith("all outputs are finite, but not the gradient of ")
    assert rows == ()


def test_the_run_stops_with_the_reason(setup):
    planned, _, state, batch = setup
    watch = nonfinite.Nonfinite("stop", planned, source())
    watch.follow(1, state, batch, dict(loss=1.0, grad_norm=2.0))
    watch.settle(state)
    words = (
        r"the loss is nan and the gradient's norm 1.0 at step 4: the output of second is not"
        r" finite, for clip100.mp4, .*, clip104.mp4, ... and 3 more; try a lower"
    )
    bad = with_divisor(state, 0.0)
    watch.follow(4, bad, batch, dict(loss=np.nan, grad_norm=1.0))
    with pytest.raises(UserError, match=words):
        watch.settle(bad)
    watch.settle(bad)  # each step once


def test_a_step_is_checked_after_the_next_ones_have_begun(setup):
    planned, _, state, batch = setup
    watch = nonfinite.Nonfinite("stop", planned, source())
    bad = batch | {"video": batch["video"].at[2].set(jnp.nan)}
    watch.follow(1, state, bad, dict(loss=np.nan, grad_norm=np.nan))
    for step in range(2, 1 + nonfinite.AHEAD):
        watch.follow(step, state, batch, dict(loss=1.0, grad_norm=1.0))
    with pytest.raises(UserError, match=r"at step 1: video of the batch.* for clip102\.mp4; try"):
        watch.follow(1 + nonfinite.AHEAD, state, batch, dict(loss=1.0, grad_norm=1.0))


def test_steps_are_reported_in_order_when_they_are_done(setup):
    planned, _, state, batch = setup
    done = []
    watch = nonfinite.Nonfinite("stop", planned, source(), lambda *step: done.append(step))
    logs = [dict(loss=jnp.float32(i), grad_norm=jnp.float32(1)) for i in range(6)]
    for step in range(1, 6):
        watch.follow(step, state, batch, logs[step])
        assert done == [(i, logs[i]) for i in range(1, step + 1 - nonfinite.AHEAD)]
    watch.settle(state)
    assert done == [(i, logs[i]) for i in range(1, 6)]


def test_batches_are_skipped_but_not_for_ever(setup, said):
    planned, _, state, batch = setup
    watch = nonfinite.Nonfinite("skip", planned, source())
    bad, good = dict(loss=1.0, grad_norm=np.inf), dict(loss=1.0, grad_norm=1.0)
    watch.follow(1, state, batch, bad)
    watch.follow(2, state, batch, good)
    watch.settle(state)
    assert said[0].startswith("skipped: the loss is 1.0 and the gradient's norm inf")
    for step in range(3, 13):
        watch.follow(step, state, batch, bad)
    assert len(said) == 11 - nonfinite.AHEAD
    with pytest.raises(UserError, match="so were the 9 steps before"):
        watch.settle(state)
    assert watch.skipped == 11


def test_there_is_no_other_policy(setup):
    with pytest.raises(UserError, match='nonfinite: "ignore" is none of stop, skip'):
        nonfinite.Nonfinite("ignore", setup[0], source())
