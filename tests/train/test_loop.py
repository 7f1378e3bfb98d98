"""The loop in this process, on eight devices: stopping, going on, and what it refuses."""

import itertools
import json
from contextlib import contextmanager

import pytest

from configs import quickstart
from jaxvid import main
from jaxvid.checkpoints import integrity, store
from jaxvid.errors import UserError
from jaxvid.train import loop
from jaxvid.train.calendar import milestones
from jaxvid.train.plan import full_rates
from tests.faults.kill_resume import compare

TIMED = ("time", "train/step_time", "train/clips_per_s", "train/data_wait")


@pytest.fixture
def config(cache):
    c = quickstart.get_config()
    clips = dict(name="motion", train=96, val=40, seed=0)
    c.data.train, c.data.val = clips, clips
    c.model.variant = "test"
    c.epochs, c.batch, c.eval_batch = 2.0, 16, 16
    c.eval_every, c.save_every, c.log_every = 1.0, 0, 4
    c.loader.workers = 0
    return c


def metrics(workdir):
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in TIMED} for line in lines]


def asking_at(call):
    """In place of a Ctrl-C that comes before the loop asks so often: after each step or batch."""

    @contextmanager
    def interruptible():
        calls = itertools.count(1)
        yield lambda: next(calls) == call

    return interruptible


@pytest.mark.long
def test_a_stopped_run_goes_on_as_if_it_had_not(config, tmp_path, monkeypatch):
    """It stops at the step of an evaluation, which is made up for."""
    stop = 6
    whole = main.train(config, tmp_path / "whole")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "interruptible", asking_at(stop))
        with pytest.raises(loop.Interrupted, match=f"stopped at step {stop} and saved"):
            main.train(config, tmp_path / "stopped")
    assert store.all_steps(tmp_path / "stopped" / "checkpoints") == [stop]
    assert main.train(config, tmp_path / "stopped") == whole
    one, other = metrics(tmp_path / "whole"), metrics(tmp_path / "stopped")
    assert sorted(one, key=json.dumps) == sorted(other, key=json.dumps)


@pytest.mark.long
def test_a_stop_in_the_last_evaluation_is_made_up_for(config, tmp_path, monkeypatch, capsys):
    """Also where no step is left to train; the metrics count for the best checkpoint."""
    config.epochs, config.best = 1.0, "val/top1"
    whole = main.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "interruptible", asking_at(6 + 1))  # after a batch of the evaluation
        with pytest.raises(loop.Interrupted, match="stopped at step 6 and saved"):
            main.train(config, tmp_path / "stopped")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "interruptible", asking_at(1))  # again
        with pytest.raises(loop.Interrupted, match="stopped at step 6 and saved"):
            main.train(config, tmp_path / "stopped")
    assert main.train(config, tmp_path / "stopped") == whole
    assert metrics(tmp_path / "stopped") == metrics(tmp_path / "whole")
    newest = store.best_checkpoint(tmp_path / "stopped")
    assert store.read_meta(newest)["metrics"] == whole and not integrity.damage(newest)
    assert main.train(config, tmp_path / "stopped") == {}
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("call", [6, 8], ids=["before", "during"])
def test_statistics_of_many_batches_survive_a_stop(config, tmp_path, monkeypatch, call):
    """Precise BN: a run that stops at an evaluation, or during it, ends with the same arrays."""
    config.model = dict(name="tsn", variant="test", dropout=0.0)
    config.epochs, config.precise_bn = 1.0, 3
    whole = main.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "interruptible", asking_at(call))
        with pytest.raises(loop.Interrupted, match="stopped at step 6 and saved"):
            main.train(config, tmp_path / "stopped")
    assert main.train(config, tmp_path / "stopped") == whole
    assert compare(tmp_path / "whole", tmp_path / "stopped") == []
    newest = store.best_checkpoint(tmp_path / "stopped")
    assert store.read_meta(newest)["metrics"] == whole and not integrity.damage(newest)
    config.precise_bn = 0
    assert main.train(config, tmp_path / "usual")["val/loss"] != whole["val/loss"]


@pytest.mark.long
def test_a_short_run_shows_what_happens(config, tmp_path):
    """At least ten lines where the config does not say how many, and the validation loss."""
    config.epochs, config.log_every, config.batch, config.eval_batch = 2.0, 0, 8, 8
    found = main.train(config, tmp_path / "w")
    lines = metrics(tmp_path / "w")
    steps = [line["step"] for line in lines if "train/loss" in line]
    assert steps == list(range(2, 25, 2))
    losses = [line["val/loss"] for line in lines if "val/loss" in line]
    assert len(losses) == 2 and losses[-1] == found["val/loss"]
    assert all(1.5 < loss < 3 for loss in losses), "about ln 8"


@pytest.mark.slow
def test_layouts_and_devices_are_free_to_change(config, tmp_path, monkeypatch):
    """Half of the run data parallel, the other half tensor parallel on another mesh."""
    config.epochs = 1.0
    whole = main.train(config, tmp_path / "whole")
    config.save_every = 3
    config.eval_every = 0.0

    with monkeypatch.context() as patch:
        patch.setattr(loop, "interruptible", asking_at(3))
        with pytest.raises(loop.Interrupted):
            main.train(config, tmp_path / "moved")
    config.mesh.model, config.sharding = 2, "tensor"
    moved = main.train(config, tmp_path / "moved")
    assert moved["val/top1"] == pytest.approx(whole["val/top1"], abs=0.05)


def test_a_loss_that_is_not_finite_stops_the_run(config, tmp_path):
    config.optim.lr = 1e30
    config.optim.clip = 0.0
    words = r"the loss is (nan|inf) and .* at step \d+: the output of .* is not finite, for .*; try"
    with pytest.raises(UserError, match=words):
        main.train(config, tmp_path / "w")


def test_sizes_that_do_not_fit_are_refused(config, tmp_path):
    config.batch = 12
    with pytest.raises(UserError, match=r"config\.batch=12 must divide by 8: 8 devices"):
        main.train(config, tmp_path / "w")


def test_what_is_random_is_neither_frozen_nor_slowed_down(config, tmp_path, capsys):
    config.optim.freeze = ("backbone/.*",)
    config.optim.lr_scale = (("backbone/.*", 0.1), ("head/.*", 5.0))
    with pytest.raises(UserError, match=r"freeze keeps backbone/\.\* at random values; name"):
        main.train(config, tmp_path / "w")
    said = " ".join(capsys.readouterr().out.split())
    assert 'the low learning rate of "backbone/.*" (x 0.1) is off' in said


def test_low_rates_are_for_weights_to_start_from():
    settings = dict(lr=1.0, lr_scale=(("a/.*", 0.1), (".*", 2.0)))
    assert full_rates(settings, "some")[0] == settings
    random, lines = full_rates(settings, "")
    assert random["lr_scale"] == (("a/.*", 1.0), (".*", 2.0)) and len(lines) == 1
    assert full_rates(dict(lr=1.0), "") == (dict(lr=1.0), ())


def test_milestones():
    assert milestones(4, 10) == {4, 8, 10}
    assert milestones(0, 10) == {10}
    assert milestones(2.5, 10) == {2, 5, 8, 10}
    assert milestones(100, 10) == {10}
