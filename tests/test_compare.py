"""What a checkpoint means, compared: class lists, preprocessing, the identity of the data."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from configs import finetune, quickstart
from jaxvid import class_names, compare
from jaxvid.config import plain
from jaxvid.data import dataset
from jaxvid.data.annotations.labels import ragged
from jaxvid.data.identity import identity
from jaxvid.data.sources.video_list import Videos
from jaxvid.errors import UserError


@pytest.mark.parametrize(
    "there,here,found",
    [
        (("jump", "run"), ("jump", "run"), ""),
        (("High Jump", "run"), ("high_jump", "run"), ""),
        (("0", "1"), ("jump", "run"), ""),
        (("0", "1"), ("0", "1", "2"), "2 classes there, 3 here"),
        (("jump", "run"), ("run", "jump"), 'class 0 is "jump" there, "run" here'),
        (
            ("jump", "run"),
            ("hop", "jump", "run"),
            '2 classes there, 3 here; only here: "hop"; class 0 is "jump" there, "hop" here',
        ),
        (
            ("jump", "run"),
            ("jump", "walk"),
            'only there: "run"; only here: "walk"; class 1 is "run" there, "walk" here',
        ),
        (
            tuple("abcde"),
            ("a",),
            '5 classes there, 1 here; only there: "b", "c", "d", ... and 1 more',
        ),
    ],
)
def test_lists_of_classes(there, here, found):
    assert compare.classes(there, here) == found


def config(**changes):
    found = plain(quickstart.get_config())
    for key, value in changes.items():
        *path, last = key.split("__")
        tree = found
        for part in path:
            tree = tree[part]
        tree[last] = value
    return found


def test_preprocessing_spells_out_defaults_and_leaves_out_augmentation():
    there = config()
    there["data"]["recipe"] = dict(name="clip", frames=8, stride=2, size=32, short_side=32)
    assert compare.preprocessing(there, config(data__recipe__crop=["resized", [0.5, 1.0]])) == {}
    changed = config(data__recipe__frames=16, task__mean=[0.0, 0.0, 0.0], task__augment__flip=0.5)
    found = compare.preprocessing(there, changed)
    assert found.keys() == {"data.recipe.frames", "task.mean"}
    assert found["data.recipe.frames"] == "8 there, 16 here"


def test_evaluation_refuses_other_inputs_and_says_other_views(said):
    other = config(data__recipe__size=24, data__recipe__clips=3)
    compare.evaluated("run", config(), other)
    assert len(said) == 2
    assert "config.data.recipe.size: 32 there, 24 here" in said[0]
    for change in (dict(task__std=[1.0, 1.0, 1.0]), dict(data__recipe__channels=2)):
        with pytest.raises(UserError, match=r"run: trained on other inputs;.*\n  config\."):
            compare.evaluated("run", config(), config(**change))
    stream = plain(finetune.get_config("test"))
    stream["data"]["recipe"] = dict(name="skeleton", layout="coco")
    stream["task"]["keys"] = ["keypoint"]
    with pytest.raises(UserError, match=r"task\.keys: \('video',\) there, \('keypoint',\) here"):
        compare.evaluated("run", config(), stream)


# Data


def videos(*paths, labels=None):
    return Videos(paths, np.array(labels or range(len(paths)), np.int32))


def test_identity_is_that_of_videos_and_labels_below_the_root():
    one = identity(videos("/a/x.mp4", "/a/y.mp4"), "/a")
    assert one == identity(videos("/b/c/x.mp4", "/b/c/y.mp4"), "/b/c/")
    assert one["videos"] == 2
    for other in (
        videos("/a/x.mp4"),
        videos("/a/x.mp4", "/a/z.mp4"),
        videos("/a/x.mp4", "/a/y.mp4", labels=[1, 0]),
        videos("/a/x.mp4", "/c/a/y.mp4"),
    ):
        assert compare.data({"train": one}, {"train": identity(other, "/a")})
    turned = identity(videos("/a/y.mp4", "/a/x.mp4", labels=[1, 0]), "/a")
    assert "another order" in compare.data({"train": one}, {"train": turned})["train"]


def test_identity_of_several_labels():
    paths = ("a", "b")
    one = identity(Videos(paths, ragged([[0, 1], [2]], 3)))
    assert one != identity(Videos(paths, ragged([[0], [1, 2]], 3)))
    rows = np.array([[1, 1, 0], [0, 0, 1]])
    assert identity(Videos(paths, rows)) != identity(Videos(paths, rows[::-1]))


def test_a_run_goes_on_with_its_own_classes_and_videos_only(said):
    seen = identity(videos("a", "b"))
    meta = dict(names=("x", "y"), data={"train": seen, "val": seen}, config=config(), step=3)
    compare.resumed("w", meta, meta)
    compare.resumed("w", dict(step=3), meta)  # from before this was stored
    assert said == []
    with pytest.raises(UserError, match=r'w: trained on other classes: .*only here: "z".*init\.'):
        compare.resumed("w", meta, meta | dict(names=("x", "z")))
    more = {"train": identity(videos("a", "b", "c")), "val": seen}
    with pytest.raises(UserError, match=r"other videos: 2 videos .* there, 3 videos .* here\."):
        compare.resumed("w", meta, meta | dict(data=more))
    with pytest.raises(UserError, match=r"config\.optim\.lr: .* there, 1\.0 now"):
        compare.resumed("w", meta, meta | dict(config=config(optim__lr=1.0)))
    compare.resumed("w", meta, meta | dict(data=dict(more, train=seen, val=more["train"])))
    assert said[0].startswith("val: 2 videos")


def test_evaluation_compares_the_names_of_the_classes(tmp_path, said):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "val.csv").write_text("a.mp4,1\n")
    (tmp_path / "names.txt").write_text("run\njump\n")
    spec = dict(name="video_list", file="val.csv")
    data = dict(root=str(tmp_path), names="names.txt", checks=(), train=spec, val=spec, recipe={})
    with pytest.raises(UserError, match=r'names\.txt: other classes .*class 0 is "jump" there'):
        dataset.for_evaluation(data, ("jump", "run"))
    assert len(dataset.for_evaluation(data, ("run", "jump"))) == 1
    dataset.for_evaluation(data | dict(names=""), ("jump", "run"))
    assert 'labels are numbers; 0 counts as "jump"' in said[0]
    (tmp_path / "val.csv").write_text("a.mp4,run\n")
    found = dataset.for_evaluation(data | dict(names=""), ("jump", "run"))
    assert found.labels.tolist() == [1] and len(said) == 1


@pytest.mark.parametrize(
    "dataset,start", [("k400", [0, 1, 2, 3, 4]), ("k600", [0, 661, 611, 1, 694])]
)
def test_classes_of_kinetics_are_found_in_kinetics_710(dataset, start):
    """Some have another name there; the published channel maps are these numbers."""
    there, here = class_names.of("k710"), class_names.of(dataset)
    found = compare.places(there, here)
    assert found[: len(start)] == start
    assert len(set(found)) == len(here)
    if dataset == "k400":
        assert found == list(range(400))


@pytest.mark.parametrize("dataset", ["k400", "k600", "k700"])
def test_places_in_kinetics_710_are_the_published_ones(dataset):
    data = os.environ.get("JAXVID_DATA", "")
    path = Path(data) / "labels" / "k710_channel_map" / f"map_{dataset}.json"
    if not path.is_file():
        pytest.skip("needs JAXVID_DATA: a folder with labels/k710_channel_map")
    found = compare.places(class_names.of("k710"), class_names.of(dataset))
    assert found == json.loads(path.read_text())
