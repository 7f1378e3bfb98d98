"""Writers of numbers and pictures: the protocol, with fake packages for those of others."""

import json
import sys
import time
import types

import numpy as np
import pytest

from jaxvid import writers
from jaxvid.errors import UserError
from jaxvid.train.progress import Writer
from jaxvid.writers import jsonl, tensorboard

PIXELS = np.zeros((4, 6, 3), np.uint8)


def use(writer):
    writer.write(3, {"epoch": 0.5, "time": 1.0, "train/loss": 2.0})
    writer.picture(3, "train/clips", PIXELS)
    writer.close()


def test_by_default_lines_and_events(tmp_path):
    writer = Writer(tmp_path / "run", 0)
    writer.write(3, 0.51234, {"train/loss": 2.0})
    writer.picture(3, "train/clips", PIXELS)
    writer.close()
    (line,) = jsonl.records(tmp_path / "run")
    assert line.pop("time") > 0
    assert line == {"step": 3, "epoch": 0.5123, "train/loss": 2.0}
    (events,) = (tmp_path / "run/tensorboard").glob("events*")
    content = events.read_bytes()
    assert b"train/clips" in content and b"\x89PNG" in content and b"train/loss" in content
    assert b"epoch" not in content


def test_a_full_disk_ends_the_board_and_not_the_run(tmp_path, caplog, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tensorboardX.record_writer.RecordWriter.write", full)
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    with pytest.raises(OSError, match="No space"):  # the first event is written by the caller
        tensorboard.build(tmp_path / "none", None)
    monkeypatch.undo()
    board = tensorboard.build(tmp_path, None)
    monkeypatch.setattr("tensorboardX.record_writer.RecordWriter.write", full)
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    deadline = time.monotonic() + 60
    while board.writes() and time.monotonic() < deadline:
        board.write(1, {"train/loss": 1.0})
        time.sleep(0.01)
    for step in range(2 * tensorboard.QUEUE):
        board.write(step, {"train/loss": 1.0})
        board.picture(step, "train/clips", PIXELS)
    board.close()
    assert [r.getMessage() for r in caplog.records].count(
        f"warning: {tmp_path / 'tensorboard'}: writing failed, so TensorBoard shows no more of this"
        " run"
    ) == 1


def test_only_what_is_chosen_is_written(tmp_path):
    Writer(tmp_path, 0, ["jsonl"]).write(1, 0.0, {"train/loss": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
    writer = Writer(tmp_path / "none", 0, ())
    writer.write(1, 0.0, {"train/loss": 1.0})
    writer.close()
    assert list((tmp_path / "none").iterdir()) == []


def test_lines_beyond_the_step_and_half_lines_are_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    assert [r["step"] for r in jsonl.records(tmp_path)] == [1, 2, 3]
    use(jsonl.build(tmp_path, 1))
    assert [r["step"] for r in jsonl.records(tmp_path)] == [1, 3]
    use(jsonl.build(tmp_path, None))
    assert [r["step"] for r in jsonl.records(tmp_path)] == [1, 3, 3]
    assert jsonl.records(tmp_path / "none") == []


class FakeRun:
    """What wandb.init returns."""

    def __init__(self, **options):
        self.options, self.logged, self.metrics, self.finished = options, [], [], False

    def define_metric(self, name, **options):
        self.metrics.append(name)

    def log(self, values):
        self.logged.append(values)

    def finish(self):
        self.finished = True


@pytest.fixture
def wandb(monkeypatch):
    module, runs = types.ModuleType("wandb"), []

    def init(**options):
        runs.append(FakeRun(**options))
        return runs[-1]

    module.init, module.Image = init, lambda pixels: ("image", pixels.shape)
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return runs


def test_wandb_gets_numbers_pictures_and_the_config(wandb, tmp_path):
    (tmp_path / "config.json").write_text('{"seed": 1}')
    use(*writers.build(["wandb"], tmp_path, 0))
    (run,) = wandb
    assert run.logged == [
        {"step": 3, "epoch": 0.5, "time": 1.0, "train/loss": 2.0},
        {"step": 3, "train/clips": ("image", (4, 6, 3))},
    ]
    assert run.finished and run.metrics == ["step", "*"]
    options = run.options
    assert (options["project"], options["name"]) == ("jaxvid", tmp_path.name)
    assert options["config"] == {"seed": 1} and options["resume"] == "allow"


def test_wandb_goes_on_with_the_same_run_in_a_workdir(wandb, tmp_path):
    for folder in ("a", "a", "b"):
        (tmp_path / folder).mkdir(exist_ok=True)
        writers.build(["wandb"], tmp_path / folder, 0)
    first, again, other = (run.options["id"] for run in wandb)
    assert first == again != other


def test_trackio(monkeypatch, tmp_path):
    module, calls = types.ModuleType("trackio"), []
    module.init = lambda **options: calls.append(("init", options["name"], options["resume"]))
    module.log = lambda values, step: calls.append((step, values))
    module.Image = lambda pixels: pixels.shape
    module.finish = lambda: calls.append("finish")
    monkeypatch.setitem(sys.modules, "trackio", module)
    use(*writers.build(["trackio"], tmp_path, 0))
    values = {"epoch": 0.5, "time": 1.0, "train/loss": 2.0}
    assert calls == [
        ("init", tmp_path.name, "allow"),
        (3, values),
        (3, {"train/clips": (4, 6, 3)}),
        "finish",
    ]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_missing_package_is_one_line(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"config.writers has \"{name}\".*'jaxvid\[{name}\]'$"):
        writers.check(["jsonl", name])
    with pytest.raises(UserError, match=name):
        writers.build([name], tmp_path, 0)


def test_an_unknown_writer_names_the_nearest():
    with pytest.raises(UserError, match=r'"tensorbord".* Did you mean "tensorboard"'):
        writers.check(["tensorbord"])


def test_packages_of_others_are_not_imported_unless_chosen(tmp_path):
    writers.build(writers.DEFAULT, tmp_path, 0)
    assert not {"wandb", "trackio"} & set(sys.modules)
    assert json.loads(json.dumps(list(writers.DEFAULT))) == ["jsonl", "tensorboard"]
