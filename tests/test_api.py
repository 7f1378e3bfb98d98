"""The Python API: what `jaxvid` shows of it, and what its functions hand on."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from ml_collections import ConfigDict

import jaxvid
from configs import quickstart
from jaxvid import api, main
from jaxvid.errors import UserError

NAMES = {"load", "pipeline", "predict", "features", "train", "evaluate"}


def test_jaxvid_shows_its_functions():
    assert set(dir(jaxvid)) == NAMES
    assert set(jaxvid.__all__) == NAMES
    for name in NAMES:
        assert callable(getattr(jaxvid, name))
        assert f"jaxvid.{name}(" in (getattr(api, name).__doc__ or "")
        assert f"jaxvid.{name}(" in (jaxvid.__doc__ or "")


def test_modules_of_the_same_names_are_still_modules():
    from jaxvid import predict, train
    from jaxvid.train import loop

    assert predict.load is api.load
    assert train.loop is loop


def test_a_program_with_flags_of_its_own_can_import_everything():
    script = (
        "from absl import flags; flags.DEFINE_string('workdir', '', ''); "
        "flags.DEFINE_string('config', '', ''); import jaxvid; jaxvid.load"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def trained(monkeypatch):
    """What reaches `main.train` and `main.evaluate`."""
    seen = []
    monkeypatch.setattr(main, "train", lambda *args: seen.append(args) or {"val/top1": 1.0})
    monkeypatch.setattr(main, "evaluate", lambda *args: seen.append(args) or {"test/top1": 1.0})
    return seen


@pytest.mark.parametrize("config", ["quickstart", quickstart.get_config()])
def test_train_takes_names_and_configs_with_overrides(config, trained, tmp_path):
    before = quickstart.get_config()
    found = jaxvid.train(config, tmp_path, {"optim.lr": 1, "data.num_classes": 4, "batch": 4})
    assert found == {"val/top1": 1.0}
    [(resolved, workdir)] = trained
    assert (resolved.optim.lr, resolved.data.num_classes, resolved.batch) == (1.0, 4, 4)
    assert (resolved.data.val.to_dict(), workdir) == (before.data.val.to_dict(), tmp_path)
    assert not isinstance(config, ConfigDict) or config.batch == before.batch


@pytest.mark.parametrize(
    "overrides,message",
    [
        ({"optim.lrr": 1.0}, 'no config key "optim.lrr". Did you mean "lr"'),
        ({"batch.size": 1}, 'no config key "batch.size": config.batch is not a dict'),
        ({"lr": 1.0}, 'no config key "lr".'),
        ({"seed": "x"}, "config.seed='x'"),
    ],
)
def test_wrong_overrides_are_named(overrides, message, trained, tmp_path):
    with pytest.raises(UserError, match=message):
        jaxvid.train("quickstart", tmp_path, overrides)


def test_evaluate_writes_into_the_run_or_where_it_is_asked_to(trained, tmp_path):
    jaxvid.evaluate(tmp_path)
    jaxvid.evaluate("swin_tiny_k400", tmp_path / "check", "swin_k400", {"data.root": "D"})
    assert trained[0] == (None, tmp_path, tmp_path)
    config, workdir, checkpoint = trained[1]
    assert (config.data.root, workdir, checkpoint) == ("D", tmp_path / "check", "swin_tiny_k400")
    with pytest.raises(UserError, match="name a workdir"):
        jaxvid.evaluate("swin_tiny_k400")


@pytest.mark.parametrize("value", [None, 3, ["runs/a"]])
def test_what_is_no_path_is_named(value, tmp_path):
    for call in (
        lambda: jaxvid.load(value),
        lambda: jaxvid.predict("a.mp4", value),
        lambda: jaxvid.evaluate(value),
    ):
        with pytest.raises(UserError, match=r"checkpoint=.*: give a "):
            call()
    with pytest.raises(UserError, match=r"workdir=.*: give a path"):
        jaxvid.train("quickstart", value)
    with pytest.raises(UserError, match=r"--config=.*"):
        jaxvid.train(value, tmp_path)


def test_a_config_by_name_is_no_config_of_a_checkpoint():
    with pytest.raises(UserError, match="config='quickstart': give a ConfigDict"):
        jaxvid.load("swin_tiny_k400", config="quickstart")


def test_a_pipeline_of_another_task_is_the_prediction_of_its_model(monkeypatch):
    model = SimpleNamespace(config={"task": {"name": "recognition"}}, predict=str.upper)
    monkeypatch.setattr(api, "load", lambda checkpoint, **options: model)
    assert jaxvid.pipeline("recognition", "runs/swin")("clip.mp4") == "CLIP.MP4"
    with pytest.raises(UserError, match=r'runs/swin: .*jaxvid\.pipeline\("recognition", \.\.\.\)'):
        jaxvid.pipeline("localization", "runs/swin")
    found = jaxvid.pipeline("detection", "runs/swin", proposals="people.csv")
    with pytest.raises(UserError, match="a model of recognition; detection takes one"):
        model.source = "runs/swin"
        found("clip.mp4")
