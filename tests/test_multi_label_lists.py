"""Several labels a video from the command line: training and `tools.check` read the same."""

import numpy as np
import pytest

from configs import finetune, multi_label_own
from jaxvid import plug
from jaxvid.data import dataset
from jaxvid.errors import UserError
from jaxvid.tasks.multi_label import MultiLabel
from jaxvid.tools import check

SEVERAL = {"train": "a.mp4,run,jump\nb.mp4,sit\nc.mp4,jump\n", "val": "d.mp4,sit,run\n"}
SINGLE = {"train": "a.mp4,run\nb.mp4,sit\nc.mp4,run\n", "val": "d.mp4,sit\n"}


def write(folder, lists):
    for name in "abcd":
        (folder / f"{name}.mp4").touch()
    for split, text in lists.items():
        (folder / f"{split}.csv").write_text(text)


def given(make, folder):
    config = make.get_config("mini")
    config.data.root = str(folder)
    return config


def test_a_csv_with_several_labels_a_line(tmp_path):
    write(tmp_path, SEVERAL)
    config = given(multi_label_own, tmp_path)
    data = dataset.for_training(config.data, config.task)
    assert data.names == ("jump", "run", "sit") and data.num_classes == 3
    assert np.array_equal(data.splits["train"].labels, [[1, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert np.array_equal(data.splits["val"].labels, [[0, 1, 1]])
    task = plug.load("tasks", config.task, num_classes=3)
    assert task.sample_labels == "several" and config.best == "val/map"
    check.check(config, None, False, 10)
    again = dataset.for_evaluation(config.data, data.names, task=config.task)
    assert np.array_equal(again.labels, [[0, 1, 1]])


def test_numbers_of_validation_stay_within_those_of_training(tmp_path):
    write(tmp_path, {"train": "a.mp4,0,2\nb.mp4,1\nc.mp4,2\n", "val": "d.mp4,1\n"})
    config = given(multi_label_own, tmp_path)
    data = dataset.for_training(config.data, config.task)
    assert data.num_classes == 3 and data.splits["val"].labels[0].tolist() == [0, 1, 0]
    write(tmp_path, {"val": "d.mp4,1,3\n"})
    with pytest.raises(UserError, match=r"val\.csv:1: label 3 is outside 0\.\.2"):
        dataset.for_training(config.data, config.task)


def test_a_concat_reads_several_labels_in_all_parts(tmp_path):
    write(tmp_path, SEVERAL)
    lists = {split: dict(name="video_list", file=f"{split}.csv") for split in SEVERAL}
    config = given(multi_label_own, tmp_path)
    config.data.train = dict(name="concat", one=lists["train"])
    config.data.val = lists["val"]
    labels = dataset.for_training(config.data, config.task).splits["train"].labels
    assert np.array_equal(labels, [[1, 1, 0], [0, 0, 1], [1, 0, 0]])


FOLDERS = "for several labels per video, write train.csv"


@pytest.mark.parametrize(
    "make,lists,spec,message",
    [
        (finetune, SEVERAL, {}, r"train\.csv:1: .* need config\.task\.name=multi_label"),
        (finetune, SEVERAL, {"multi_label": True}, r"train\.csv: samples have several labels"),
        (multi_label_own, SINGLE, {"name": "class_folders"}, "samples have one label, but"),
        (multi_label_own, {}, {}, FOLDERS),
    ],
)
def test_training_and_check_refuse_the_same(tmp_path, make, lists, spec, message):
    write(tmp_path, lists)
    for name in ("run", "sit"):
        (tmp_path / name).mkdir()
        for number in range(2):
            (tmp_path / name / f"{number}.mp4").touch()
    config = given(make, tmp_path)
    for split in ("train", "val"):
        config.data[split] = {"name": "user_clips"} | spec
    with pytest.raises(UserError, match=message) as training:
        dataset.for_training(config.data, config.task)
    with pytest.raises(UserError) as checking:
        check.check(config, None, False, 10)
    assert str(training.value) == str(checking.value)


def test_check_allows_what_the_config_allows(tmp_path, capsys):
    write(tmp_path, SEVERAL | {"val": "d.mp4,sit\na.mp4,run\n"})
    config = given(multi_label_own, tmp_path)
    with pytest.raises(UserError, match="1 problem in the data"):
        check.check(config, None, False, 10)
    config.data.checks = ("labels", "missing")
    check.check(config, None, False, 10)
    assert "1 allowed" in capsys.readouterr().out
    dataset.for_training(config.data, config.task)


def test_a_report_has_a_row_for_each_label():
    score = np.array([[0.9, 0.2, 0.1], [0.8, 0.7, 0.2], [0.3, 0.6, 0.3]], np.float32)
    label = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    task = MultiLabel(num_classes=3)
    found = task.report(dict(score=score, label=label), ["a", "b", "c"], ("run", "sit", "eat"))
    head, run, sit, eat = found.files["report.csv"]
    assert head == ("name", "n", "average_precision", "recall", "precision", "predicted")
    assert run == ("run", 2, pytest.approx(0.5 * 1 + 0.5 * 2 / 3), 0.5, 0.5, 2)
    assert sit == ("sit", 2, 1.0, 1.0, 1.0, 2)
    assert eat[:2] == ("eat", 0) and np.isnan(eat[2:5]).all()
    assert found.lines == ["lowest average precision: run 83%, sit 100%"]


def test_labels_that_nobody_looked_for_are_not_in_the_report():
    score, label = np.array([[0.9], [0.8]]), np.array([[1], [0]])
    preds = dict(score=score, label=label, label_mask=np.array([[1], [0]]))
    row = MultiLabel(num_classes=1).report(preds, ["a", "b"], ("x",))
    assert row.files["report.csv"][1] == ("x", 1, 1.0, 1.0, 1.0, 1)
