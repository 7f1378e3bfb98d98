"""What is wrong with the data is said before anything compiles, with file and line."""

from pathlib import Path
from typing import Any

import pytest

from jaxvid.data import dataset, source_checks
from jaxvid.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """Four files and a list for each split: three classes in training, two in validation."""
    for name in "abcd":
        (tmp_path / f"{name}.mp4").touch()
    write(tmp_path, "train.txt", "a.mp4 0", "b.mp4 1", "c.mp4 2")
    write(tmp_path, "val.txt", "d.mp4 1")
    return tmp_path


def write(folder: Path, file: str, *lines: str):
    (folder / file).write_text("\n".join(lines) + "\n")


def build(folder, suffix="txt", **options) -> dataset.Dataset:
    specs: Any = {s: dict(name="video_list", file=f"{s}.{suffix}") for s in ("train", "val")}
    return dataset.build(root=str(folder), **{**specs, **options})


def problems(folder, **options) -> list[str]:
    """The lines of the error, without the folder."""
    with pytest.raises(UserError) as caught:
        build(folder, **options)
    return [line.strip() for line in str(caught.value).replace(f"{folder}/", "").splitlines()]


# Classes


def test_the_number_of_classes_comes_from_training(folder):
    data = build(folder)
    assert (data.num_classes, data.names) == (3, ("0", "1", "2"))
    assert {k: len(v) for k, v in data.splits.items()} == dict(train=3, val=1)


def test_names_come_from_training_and_hold_for_validation(folder):
    write(folder, "train.csv", "a.mp4,run", "b.mp4,jump", "c.mp4,sit")
    write(folder, "val.csv", "d.mp4,sit")
    data = build(folder, "csv")
    assert (data.num_classes, data.names) == (3, ("jump", "run", "sit"))
    assert data.splits["val"].labels.tolist() == [2]


def test_names_from_a_file(folder):
    (folder / "names.txt").write_text("\ufeffrun\r\nju m\u0070\u00e9\r\n\r\nsit\r\n", "utf-8")
    data = build(folder, names="names.txt")
    assert (data.num_classes, data.names) == (3, ("run", "ju mp\u00e9", "sit"))
    write(folder, "names.txt", "run", "jump")
    assert problems(folder, names="names.txt")[1] == (
        "train.txt:3: label 2 is outside 0..1 (config.data.num_classes=2)"
    )


def test_known_names_win_over_the_file(folder):
    data = build(folder, names="none.txt", known_names=("x", "y", "z"))
    assert data.names == ("x", "y", "z")


@pytest.mark.parametrize(
    "options,message",
    [
        (dict(names="none.txt"), "none.txt: no such file of class names (config.data.names)"),
        (dict(names="n", num_classes=4), "n has 3 class names, but config.data.num_classes=4"),
        (dict(known_names=("x",), num_classes=3), "the train set has 1 class names, but config"),
        (dict(checks=("labels", "lables")), "config.data.checks: lables is none of labels, empty"),
        (dict(val=None), "config.data.val is missing"),
    ],
)
def test_settings_that_do_not_fit(folder, options, message):
    write(folder, "n", "run", "jump", "sit")
    assert problems(folder, **options)[0].startswith(message)


def test_names_in_validation_and_numbers_in_training(folder):
    """They would be numbered by the alphabet, whatever training means by its numbers."""
    write(folder, "val.txt", "d.mp4 jump")
    assert problems(folder)[0] == (
        "val.txt: labels are names here, but numbers in train.txt; set config.data.names"
    )


@pytest.mark.parametrize("task", [None, {}, {"smoothing": 0.1}, {"name": "recognition"}])
def test_a_task_without_a_name_is_left_to_the_check_of_the_config(folder, task):
    assert build(folder, task=task).num_classes == 3


def test_no_such_root(tmp_path):
    with pytest.raises(UserError, match=r"^config\.data\.root=.*/none: no such folder$"):
        build(tmp_path / "none")


def test_home_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert len(build("~").splits["train"]) == 3


def test_a_split_without_a_video(tmp_path):
    """Too few clips to leave any for validation."""
    for name in ("run/a.mp4", "jump/b.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    clips = dict(name="user_clips")
    lower = "train_share=0.8 leaves no videos for val; lower it in --config.data.train.train_share"
    with pytest.raises(UserError, match=f"^{tmp_path}: {lower}"):
        dataset.build(root=str(tmp_path), train=clips, val=clips)


# Checks


def test_labels_out_of_range(folder):
    write(folder, "train.txt", "# path label", "a.mp4 0", "b.mp4 -1", "c.mp4 1")
    write(folder, "val.txt", "d.mp4 2")
    found = problems(folder, num_classes=2)
    assert found == [
        "the data has problems:",
        "train.txt:3: label -1 is outside 0..1 (config.data.num_classes=2)",
        "val.txt:1: label 2 is outside 0..1 (config.data.num_classes=2)",
    ]
    build(folder, num_classes=2, checks=("empty", "missing", "overlap"))


def test_classes_without_training(folder):
    found = problems(folder, num_classes=5)
    assert [line.split(";")[0] for line in found[1:]] == [
        "train.txt: class 3 has no training video",
        "train.txt: class 4 has no training video",
    ]
    write(folder, "names", "run", "jump", "sit", "lie down")
    assert 'class 3 "lie down" has no training video' in problems(folder, names="names")[1]
    assert build(folder, num_classes=5, checks=("labels", "missing")).num_classes == 5


def test_an_empty_class_folder(tmp_path):
    for name in ("run", "jump"):
        (tmp_path / "train" / name).mkdir(parents=True)
    (tmp_path / "train" / "run" / "a.mp4").touch()
    (tmp_path / "val" / "run").mkdir(parents=True)
    (tmp_path / "val" / "run" / "b.mp4").touch()
    specs = dict(train=dict(name="user_clips"), val=dict(name="user_clips"))
    found = problems(tmp_path, num_classes=None, **specs)
    assert 'class 0 "jump" has no training video; add some, or remove the folder' in found[1]


def test_missing_files(folder):
    write(folder, "train.txt", "a.mp4 0", "b.mp4 1", "none.mp4 2")
    write(folder, "val.txt", "", "gone.mp4 1")
    assert problems(folder)[1:] == [
        "train.txt:3: no such file: none.mp4",
        "val.txt:2: no such file: gone.mp4",
    ]
    build(folder, checks=("labels", "empty", "overlap"))


def test_a_file_in_both_splits(folder):
    (folder / "link.mp4").symlink_to(folder / "b.mp4")
    write(folder, "val.txt", "d.mp4 1", "./a.mp4 0", "link.mp4 1")
    assert problems(folder)[1:] == [
        "val.txt:2: a.mp4 is also in training (train.txt:1)",
        "val.txt:3: link.mp4 is also in training (train.txt:2)",
    ]
    build(folder, checks=("labels", "empty", "missing"))


def test_many_problems_are_cut_short(folder):
    write(folder, "train.txt", *(f"{i}.mp4 0" for i in range(25)))
    write(folder, "val.txt", "d.mp4 0")
    found = problems(folder)
    assert len(found) == 12 and found[-1] == "... and 15 more"


def test_multi_label(folder):
    write(folder, "train.txt", "a.mp4 0 2", "b.mp4 2", "c.mp4 0")
    spec = dict(name="video_list", multi_label=True)
    specs: Any = {split: spec | dict(file=f"{split}.txt") for split in ("train", "val")}
    assert "class 1 has no training video" in problems(folder, num_classes=3, **specs)[1]
    write(folder, "train.txt", "a.mp4 0 2", "b.mp4 1 2", "c.mp4 0")
    data = build(folder, num_classes=3, **specs)
    assert source_checks.counts(data.splits["train"].labels, 3).tolist() == [2, 1, 2]
    assert next(data.summary()) == "train: 3 videos, 3 classes of 1 (1) to 2 (0)"


def test_summary(folder):
    write(folder, "train.txt", "a.mp4 0", "b.mp4 1")
    data = build(folder)
    assert list(data.summary()) == [
        "train: 2 videos, 2 classes of 1 each",
        "val: 1 videos, 2 classes of 0 (0) to 1 (1)",
    ]


# Evaluation


def config(**more) -> dict:
    specs = {s: dict(name="video_list", file=f"{s}.txt") for s in ("train", "val")}
    recipe = dict(name="clip", frames=4, stride=2)
    return (
        dict(num_classes=None, names="", checks=source_checks.CHECKS, recipe=recipe) | specs | more
    )


def test_evaluation_does_not_read_training(folder):
    (folder / "train.txt").unlink()
    source = dataset.for_evaluation(config(root=str(folder)), ("x", "y"))
    assert source.labels.tolist() == [1] and source.names == ("x", "y")


def test_evaluation_prefers_a_test_split(folder):
    write(folder, "test.txt", "a.mp4 0", "b.mp4 1")
    given = config(root=str(folder), test=dict(name="video_list", file="test.txt"))
    assert len(dataset.for_evaluation(given, ("x", "y"))) == 2
    assert len(dataset.for_training(given).splits) == 2


def test_evaluation_holds_labels_against_the_classes_of_the_model(folder):
    with pytest.raises(UserError, match=r"val\.txt:1: label 1 is outside 0\.\.0"):
        dataset.for_evaluation(config(root=str(folder)), ("x",))
    write(folder, "val.txt", "d.mp4 sit")
    with pytest.raises(UserError, match=r'val\.txt:1: no such class: "sit"\. Known: x, y\.'):
        dataset.for_evaluation(config(root=str(folder)), ("x", "y"))
