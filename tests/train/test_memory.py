"""What a step needs, what would make it need less, and that the estimates hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import quickstart
from jaxvid import main, plug
from jaxvid import mesh as meshes
from jaxvid.errors import UserError
from jaxvid.train import memory
from jaxvid.train.begin import plan
from jaxvid.train.evaluate import batch_size
from jaxvid.train.step import Compiled, make_eval_step
from tests.conftest import fill

pytestmark = pytest.mark.long

FRAMES, SIZE = 4, 64


def make(**changes):
    c = quickstart.get_config()
    c.model.variant, c.batch = "test", 64
    c.model.remat = False
    with c.unlocked():
        c.update(changes)
    return c


def shapes(mesh, rows, views=1):
    clip = (rows, views, FRAMES, SIZE, SIZE, 3)
    found = dict(
        video=np.zeros(clip, np.uint8), label=np.zeros(rows, np.int32),
        mask=np.zeros(rows, np.float32), index=np.zeros(rows, np.int32),
    )  # fmt: skip
    place = meshes.over_data(mesh)
    return {k: meshes.shape_on(x, place) for k, x in jax.eval_shape(lambda: found).items()}


def compiled(config):
    """The plan of a run, its step without running anything, and shapes of its batch."""
    mesh = meshes.build(**config.mesh)
    task = plug.load("tasks", config.task, num_classes=8)
    dtype = jnp.dtype(config.dtype)
    model = plug.load("models", config.model, num_classes=8, dtype=dtype)
    batch = shapes(mesh, config.batch)
    planned = plan(config, model, task, mesh, batch, 10.0)
    step = planned.step(lambda _: None)
    step.compile(planned.places, batch)
    return planned, step, batch


@pytest.fixture(scope="module")
def plain():
    return compiled(make())


def test_estimates_are_what_recompiling_finds(plain):
    planned, step, batch = plain
    said = memory.savings(planned, step, batch)
    changes = {"accumulate": 2, "batch": 32, "sharding": "fsdp"}
    assert said.keys() == {f"config.{k}={v}" for k, v in changes.items()}
    for key in changes:
        _, smaller, _ = compiled(make(**{key: changes[key]}))
        saved = said[f"config.{key}={changes[key]}"]
        assert saved == pytest.approx(step.memory - smaller.memory, rel=0.1)


def test_recomputing_keeps_less_of_the_forward_pass(plain):
    """By tracing: XLA on a CPU undoes it, so compiling would not tell."""
    planned, _, batch = plain
    kept = memory.residuals(planned.model, planned.task, batch)
    models = memory.changed_models(planned)
    assert set(models) == {"config.model.remat=True", "config.dtype=bfloat16"}
    less, half = (memory.residuals(model, planned.task, batch) for model in models.values())
    assert less < 0.5 * kept
    assert 0.4 * kept < half < 0.75 * kept


def test_residuals_are_what_compiling_sets_aside(plain):
    planned, step, batch = plain
    kept = memory.residuals(planned.model, planned.task, batch) / 8
    assert step.temporary == pytest.approx(kept, rel=0.5)


def test_a_step_that_does_not_fit_is_refused_with_what_would_help(plain):
    planned, step, batch = plain
    memory.Fit(limit=step.memory).check(planned, step, batch)
    words = (
        r"one step needs .*iB of memory on a device, which has .*By estimate this would save:"
        r" config\.batch=32 \(.*iB\), config\.accumulate=2 \(.*iB\), config\.sharding=fsdp \(.*\)"
    )
    with pytest.raises(UserError, match=words):
        memory.Fit(limit=step.memory - 1).check(planned, step, batch)


def test_the_loop_refuses_before_the_first_step(tmp_path, monkeypatch):
    config = make(batch=16, epochs=1.0)
    config.data.train = config.data.val = dict(name="motion", train=32, val=8, seed=0)
    config.loader.workers = 0
    monkeypatch.setattr(memory, "capacity", lambda: 1000)
    with pytest.raises(UserError, match="one step needs"):
        main.train(config, tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_memory_that_runs_out_all_the_same_is_explained(plain):
    fit = memory.Fit()
    fit.check(*plain)
    with (
        pytest.raises(UserError, match=r"out of memory on a device\. By estimate"),
        fit.explained(),
    ):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes")
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), fit.explained():
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")


def test_the_state_is_donated(plain):
    """The new state takes the memory of the old one."""
    planned, step, batch = plain
    stats = step.compile(planned.places, batch).memory_analysis()
    assert stats.alias_size_in_bytes >= memory.size_on_device(planned.places)


@pytest.mark.parametrize("views", [1, 12])
def test_evaluation_needs_no_more_than_training(plain, views):
    planned, step, _ = plain
    rows = batch_size({**planned.config, "eval_batch": 0}, planned.mesh, views)
    batch = shapes(planned.mesh, rows, views)
    variables = {"params": planned.places.params, **planned.places.model_state}
    evaluation = Compiled(
        make_eval_step(planned.model, planned.task, 1),
        out_shardings=meshes.replicated(planned.mesh),
    )
    evaluation.compile(variables, batch)
    assert evaluation.memory < step.memory


def test_the_optimisers_state_may_stay_on_the_host(plain):
    """It changes no number."""

    def run(planned, step):
        rng = np.random.default_rng(0)
        batch = {
            key: jax.device_put(rng.integers(0, 8, x.shape).astype(x.dtype), x.sharding)
            for key, x in shapes(planned.mesh, planned.config.batch).items()
        }
        batch["mask"] = jnp.ones_like(batch["mask"])
        state = jax.device_put(fill(planned.places), planned.layout)
        for _ in range(2):
            state, _ = step(state, batch)
        return state

    planned, step, _ = compiled(make(offload="optimizer"))
    moved, usual = run(planned, step), run(*plain[:2])
    for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(usual), strict=True):
        np.testing.assert_array_equal(a, b)
    kinds = [leaf.sharding.memory_kind for leaf in jax.tree.leaves(moved.opt_state)]
    assert set(kinds) == {"pinned_host"}
    kinds = [leaf.sharding.memory_kind for leaf in jax.tree.leaves(moved.params)]
    assert set(kinds) == {"device"}


def test_what_cannot_be_offloaded_is_said(plain):
    planned, _, batch = plain
    with pytest.raises(UserError, match=r'offload: "optimiser".*Did you mean "optimizer"'):
        plan(make(offload="optimiser"), planned.model, planned.task, planned.mesh, batch, 10.0)
