"""Multigrid training: the published schedule, the batches of each step, and an exact resume."""

from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import slowfast_k400, slowonly_k400
from jaxvid import cli, main
from jaxvid.config import schema
from jaxvid.errors import UserError
from jaxvid.train import loop, multigrid
from tests.conftest import logs
from tests.faults.kill_resume import compare
from tests.train.test_loop import asking_at

CLIPS = 240_000
# (batch factor, frames, size) of each phase, and the epoch at which it ends, as PySlowFast prints
# them for 239 epochs with steps at 94, 154 and 196.
CYCLE = [(8, 8, 158), (4, 16, 158), (2, 16, 224), (1, 32, 224)]
ENDS = [73, 110, 142, 158, 205, 228, 248, 259, 291, 308, 322, 329, 358]


def published():
    return multigrid.build(slowfast_k400.get_config("r50_8x8_multigrid"), CLIPS)


def test_the_schedule_is_the_published_one():
    grid: Any = published()
    epochs = np.delete(grid.phase_epochs[1:], -2)  # fine-tuning has two rates
    assert np.round(epochs).tolist() == ENDS
    first = grid.phase_steps[:-1] + 2  # the last step of the first short cycle
    found = [(s.batch // 64, s.frames, s.size) for s in map(grid.at, first.tolist())]
    assert found == [*CYCLE * 3, CYCLE[-1], CYCLE[-1]]
    rates = [factor * 0.1**stage for stage in range(3) for factor in (8, 4, 2, 1)]
    np.testing.assert_allclose(grid.phase_rates, [*rates, 0.01, 0.001], rtol=1e-6)
    assert grid.positions[-1] / CLIPS == pytest.approx(358.5, abs=0.05)
    assert "compile 10 training steps" in grid.lines()[0] and len(grid.shapes) == 10


def test_the_short_cycle_keeps_the_cost_and_the_groups():
    grid: Any = published()
    step = int(grid.phase_steps[2])
    cycle = [grid.at(step + i) for i in range(6)]
    assert [(s.batch, s.frames, s.size) for s in cycle[:3]] == [
        (512, 16, 112),
        (256, 16, 158),
        (128, 16, 224),
    ]
    assert cycle[3:] == cycle[:3]
    assert {s.groups for s in cycle} == {2} and {s.stride for s in cycle} == {4}
    full = 64 * 32 * 224**2
    assert all(abs(s.batch * s.frames * s.size**2 / full - 1) < 0.02 for s in grid.shapes)


def test_the_rate_warms_up_and_follows_the_long_cycle():
    grid: Any = published()
    rate = grid.rate(34.0, 0.01)
    assert float(rate(0)) == pytest.approx(0.08)
    assert float(rate(grid.step_at(17.0))) == pytest.approx(8 * (0.01 + 0.99 / 2), rel=1e-3)
    for phase, want in enumerate(grid.phase_rates.tolist()):
        step = int(grid.phase_steps[phase])
        if grid.phase_epochs[phase] > 34:
            assert float(rate(step)) == pytest.approx(want, rel=1e-5)
    assert grid.step_at(float(grid.epoch(50_000))) == pytest.approx(50_000, abs=2)


FLAGS = (
    "--config.multigrid.long=((0.5,0.7071),(1.0,1.0))",
    "--config.multigrid.short=(0.5,)",
    "--config.schedule={'name': 'multistep', 'milestones': (1.0, 1.5), 'warmup': 0.5}",
    "--config.model={'name': 'slowonly', 'variant': 'test', 'dropout': 0.0}",
    "--config.model.bn_groups=2",
    "--config.data.train={'name': 'motion', 'train': 96, 'val': 16, 'seed': 0}",
    "--config.data.val={'name': 'motion', 'train': 96, 'val': 16, 'seed': 0}",
    "--config.epochs=2",
    "--config.batch=8",
    "--config.eval_batch=16",
    "--config.log_every=4",
    "--config.loader.workers=0",
)


@pytest.fixture
def config(cache) -> Any:
    return cli.config("quickstart", FLAGS)


def test_batches_have_the_shape_of_their_step_from_any_start(config):
    grid: Any = multigrid.build(config, 96)
    source = main.build(config).data.splits
    reading = dict(workers=0, process=(0, 1))
    batches = list(loop.grid_stream(config, grid, source, reading, 0))
    assert len(batches) == grid.total
    for step, batch in enumerate(batches):
        shape = grid.at(step)
        assert batch["video"].shape == (shape.batch, 1, shape.frames, shape.size, shape.size, 3)
    later = list(loop.grid_stream(config, grid, source, reading, 4))
    jax.tree.map(np.testing.assert_array_equal, later, batches[4:])
    halves = [
        next(iter(loop.grid_stream(config, grid, source, dict(workers=0, process=(i, 2)), 5)))
        for i in (0, 1)
    ]
    joined = np.concatenate([half["index"] for half in halves])
    np.testing.assert_array_equal(joined, batches[5]["index"])
    index = np.concatenate([batch["index"] for batch in batches])
    assert np.bincount(index[: 96 * (len(index) // 96)]).tolist() == [len(index) // 96] * 96


@pytest.mark.slow
@pytest.mark.long
def test_a_run_stopped_inside_a_cycle_resumes_exactly(config, tmp_path, monkeypatch):
    """It compiles one training step for each shape, as announced."""
    with logs() as lines:
        whole = main.train(config, tmp_path / "whole")
    grid: Any = multigrid.build(config, 96)
    assert f"compile {len(grid.shapes)} training steps" in "\n".join(lines)
    assert sum("compiled train_step" in line for line in lines) == len(grid.shapes)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "interruptible", asking_at(5))
        with pytest.raises(loop.Interrupted, match="stopped at step 5 and saved"):
            main.train(config, tmp_path / "stopped")
    assert main.train(config, tmp_path / "stopped") == whole
    assert compare(tmp_path / "whole", tmp_path / "stopped") == []


@pytest.mark.parametrize(
    "change,words",
    [
        (dict(schedule=dict(name="cosine")), 'needs config.schedule.name="multistep"'),
        (dict(data=dict(recipe=dict(name="skeleton"))), "needs a recipe with frames, stride"),
    ],
)
def test_what_multigrid_needs(config, change, words):
    with pytest.raises(UserError, match=words):
        multigrid.build(ConfigDict({**config.to_dict(), **change}), 96)


def test_all_batches_divide_over_the_devices(config):
    config.batch = 6
    grid: Any = multigrid.build(config, 96)
    with pytest.raises(UserError, match=r"batches of \d+ clips, which must divide by 8: 8 devices"):
        multigrid.check(grid, config, 8)
    config.batch, config.model.bn_groups = 8, 8
    config.multigrid.short = (0.57,)  # 6 times the clips, while there are 4 times the groups
    grid = multigrid.build(config, 96)
    with pytest.raises(UserError, match=r"has \d+ groups of BatchNorm in batches of \d+ clips"):
        multigrid.check(grid, config, 8)


def test_a_config_without_cycles_has_no_grid():
    assert multigrid.build(slowonly_k400.get_config(), CLIPS) is None
    schema.check(slowfast_k400.get_config("r50_8x8_multigrid"))
