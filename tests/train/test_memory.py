"""What a step needs, what would make it need less, and that the estimates hold."""

import ast
import re
from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import quickstart
from jaxvid import main, plug
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError
from jaxvid.layers.norm import BatchNorm
from jaxvid.train import estimate, fitting, memory
from jaxvid.train.evaluate import batch_size
from jaxvid.train.plan import plan, shapes_of
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
        video=np.zeros(clip, np.uint8),
        label=np.zeros(rows, np.int32),
        mask=np.zeros(rows, np.float32),
        index=np.zeros(rows, np.int32),
    )
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
    step = planned.step()
    step.compile(planned.state_shapes, batch)
    return planned, step, batch


@pytest.fixture(scope="module")
def plain():
    return compiled(make())


def test_the_estimate_is_what_xla_asks_for(plain):
    planned, step, batch = plain
    assert 0.75 < estimate.training(planned, batch) / step.memory < 1.35


@pytest.mark.parametrize("changes", [{"accumulate": 2}, {"batch": 32}])
def test_estimates_are_what_recompiling_finds(plain, changes):
    planned, step, batch = plain
    _, smaller, _ = compiled(make(**changes))
    said = estimate.training(*fitting.replan(planned, batch, changes))
    saved = estimate.training(planned, batch) - said
    assert saved == pytest.approx(step.memory - smaller.memory, rel=0.3)


def test_a_step_that_needs_a_little_too_much_is_compiled_and_then_refused(plain, capsys):
    planned, step, batch = plain
    memory.Fit(limit=step.memory).check(planned, step, batch)
    fit = memory.Fit(limit=step.memory - 1)
    fit.foresee(planned, batch)
    with pytest.raises(UserError, match=r"one step needs .*iB .* has .*iB\. By estimate it fits"):
        fit.check(planned, step, batch)
    memory.Fit(limit=int(estimate.training(planned, batch) / 1.1)).foresee(planned, batch)
    assert "warning: one step may need" in capsys.readouterr().err


def test_advised_flags_make_a_step_that_fits_when_compiled(plain):
    """Of the step that is known to be too large, without compiling anything else."""
    planned, step, batch = plain
    limit = int(0.4 * step.memory)
    with pytest.raises(UserError, match="one step needs about") as error:
        memory.Fit(limit).foresee(planned, batch)
    flags = re.findall(r"--config\.(\S+)=(\S+)", str(error.value))
    assert flags
    assert "jaxvid.tools.find_batch --config" in str(error.value)
    config = make()
    config.update_from_flattened_dict({key: ast.literal_eval(value) for key, value in flags})
    _, smaller, _ = compiled(config)
    assert smaller.memory <= limit


def test_a_test_that_cannot_run_is_a_warning(plain):
    planned, _, batch = plain
    config = make()
    config.data.recipe.test_size = 2 * config.data.recipe.size
    config.data.recipe.test_short_side = config.data.recipe.size
    lines = list(memory.Fit(2**40).evaluation(replace(planned, config=config), batch))
    assert len(lines) == 1
    assert lines[0].startswith(
        "the test on all views will not run: config.data.recipe: a test crop"
    )


def test_evaluation_that_does_not_fit_is_a_warning_with_a_batch_that_does(plain):
    planned, _, batch = plain
    planned = replace(planned, config=make(eval_batch=4096))
    planned.config.data.num_classes = 8
    assert not list(memory.Fit(2**40).evaluation(planned, batch))
    lines = list(memory.Fit(30 * 2**20).evaluation(planned, batch))
    assert "validation takes 4096 samples at once" in lines[0]
    rows = int(re.findall(r"--config\.eval_batch=(\d+)", lines[0])[0])
    assert 8 <= rows < 4096
    planned = replace(planned, config=make(eval_batch=rows))
    assert not list(memory.Fit(30 * 2**20).evaluation(planned, batch))


def test_the_loop_refuses_before_the_first_step(tmp_path, monkeypatch):
    config = make(batch=16, epochs=1.0)
    config.data.train = config.data.val = dict(name="motion", train=32, val=8, seed=0)
    config.loader.workers = 0
    monkeypatch.setattr(memory, "capacity", lambda: 1000)
    with pytest.raises(UserError, match="one step needs"):
        main.train(config, tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_memory_that_runs_out_all_the_same_is_explained(plain):
    planned, step, batch = plain
    fit = memory.Fit(limit=4 * step.memory)  # it should fit
    fit.check(planned, step, batch)
    with (
        pytest.raises(UserError, match=r"out of memory on a device\. By estimate it fits"),
        fit.explained(),
    ):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes")
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), fit.explained():
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")


def test_the_state_is_donated(plain):
    """The new state takes the memory of the old one."""
    planned, step, batch = plain
    stats = step.compile(planned.state_shapes, batch).memory_analysis()
    assert stats.alias_size_in_bytes >= estimate.size_on_device(planned.state_shapes)


class Normalized(nn.Module):
    """A network with running statistics."""

    @nn.compact
    def __call__(self, keypoint, *, train):
        x = BatchNorm()(nn.Dense(8)(keypoint), train=train)
        return nn.Dense(4)(x).mean(1)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_every_array_of_the_state_is_donated(name):
    config = quickstart.get_config()
    config.optim, config.ema = dict(name=name, lr=1e-3, clip=1.0), 0.9
    mesh = meshes.build()
    task = plug.load("tasks", dict(name="recognition", keys=("keypoint",)), num_classes=4)
    sample = {"keypoint": np.zeros((1, 3, 5), np.float32), "label": np.int32(0)}
    sample |= {"mask": np.float32(1), "index": np.int32(0)}
    batch = shapes_of(sample, 16, mesh)
    planned = plan(config, Normalized(), task, mesh, batch, 10.0)
    program = planned.step().compile(planned.state_shapes, batch).as_text()
    header = program.partition("input_output_alias=")[2].partition("\n")[0]
    aliased = {int(output) for output in re.findall(r"\{(\d+)\}: \(\d+, \{\}, ", header)}
    assert {"batch_stats"} == planned.state_shapes.model_state.keys()
    # The state comes before the logs in the results.
    assert aliased == set(range(len(jax.tree.leaves(planned.state_shapes))))


@pytest.mark.parametrize("views", [1, 12])
def test_evaluation_needs_no_more_than_training(plain, views):
    planned, step, _ = plain
    rows = batch_size({**planned.config, "eval_batch": 0}, planned.mesh, views)
    batch = shapes(planned.mesh, rows, views)
    variables = {"params": planned.state_shapes.params, **planned.state_shapes.model_state}
    evaluation = Compiled(
        make_eval_step(planned.model, planned.task, 1),
        out_shardings=meshes.replicated(planned.mesh),
    )
    evaluation.compile(variables, batch)
    assert evaluation.memory < step.memory


def test_the_optimizers_state_may_stay_on_the_host(plain):
    """It changes no number."""

    def run(planned, step):
        rng = np.random.default_rng(0)
        batch = {
            key: jax.device_put(rng.integers(0, 8, x.shape).astype(x.dtype), x.sharding)
            for key, x in shapes(planned.mesh, planned.config.batch).items()
        }
        batch["mask"] = jnp.ones_like(batch["mask"])
        state = jax.device_put(fill(planned.state_shapes), planned.state_shardings)
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
