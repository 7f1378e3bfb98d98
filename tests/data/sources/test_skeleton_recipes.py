"""Skeletons that a recipe cannot use: an error before a run, not in its first batch."""

from pathlib import Path

import pytest

from jaxvid.data import dataset
from jaxvid.errors import UserError
from tests.data.sources.skeleton_pickles import annotation, joints, kinetics, write


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVID_CACHE", str(tmp_path / "cache"))


def try_recipe(folder: Path, recipe: str, **options):
    """Read poses.pkl as a run does, for training and for evaluation."""
    spec = dict(name="skeleton", file="poses.pkl")
    data = dict(root=str(folder), train=spec, val=spec, recipe=dict(name=recipe, **options))
    dataset.for_evaluation(data | {"checks": ()}, ("0", "1"))
    return dataset.for_training(data, checks=())


@pytest.mark.parametrize(
    "recipe,options,rows,message",
    [
        ("skeleton", {}, joints(18, 2, True), 'have 18 joints, 17 in the layout "coco"'),
        ("heatmap", {}, joints(18, 2, True), 'have 18 joints, 17 in the layout "coco"'),
        ("skeleton", {}, joints(25, 3, False), 'have 3 coordinates; .*layout="nturgb.d"'),
        ("heatmap", {}, joints(17, 3, False), "have 3 coordinates; heat maps need x, y in pixels"),
        ("skeleton", {"layout": "nturgb+d"}, joints(25, 2, True), "have 2 coordinates and a"),
        ("skeleton", {"layout": "nturgb+d"}, joints(25, 3, True), "have 3 coordinates and a"),
        ("skeleton", {"layout": "nturgb+d"}, joints(17, 3, False), "have 17 joints, 25 in the"),
        ("skeleton", {"layout": "handmp"}, joints(17, 2, True), "have 17 joints, 21 in the"),
    ],
)
def test_joints_of_another_layout_are_named_before_a_run(tmp_path, recipe, options, rows, message):
    path = write(tmp_path, rows)
    with pytest.raises(UserError, match=rf'^{path}: annotation 0 \("a"\): key points {message}'):
        try_recipe(tmp_path, recipe, **options)


@pytest.mark.parametrize(
    "recipe,options,rows",
    [
        ("skeleton", {}, joints(17, 2, True)),
        ("skeleton", {}, joints(17, 2, False)),
        ("heatmap", {}, joints(17, 2, False)),
        ("skeleton", {"layout": "nturgb+d"}, joints(25, 3, False)),
        ("skeleton", {"layout": (3, 1, ((0, 1), (2, 1)))}, joints(3, 2, True)),
    ],
)
def test_joints_of_the_layout_pass(tmp_path, recipe, options, rows):
    write(tmp_path, rows)
    assert len(try_recipe(tmp_path, recipe, **options).splits["train"]) == 2


def test_files_of_key_points_are_tried_too(tmp_path):
    content = kinetics("ab", tmp_path)
    write(tmp_path, content)
    spec = dict(name="skeleton", file="poses.pkl", subset="train", suffix=".pkl")
    data = dict(root=str(tmp_path), train=spec, val=spec, checks=())
    dataset.for_training(data | {"recipe": dict(name="heatmap")})
    with pytest.raises(UserError, match=r'annotation 0 \("a"\): key points have 17 joints, 18'):
        dataset.for_training(data | {"recipe": dict(name="skeleton", layout="openpose")})
    (tmp_path / "a.pkl").unlink()  # the loader decides about it
    dataset.for_training(data | {"recipe": dict(name="skeleton", layout="openpose")})


def test_a_name_that_occurs_twice_is_named(tmp_path):
    write(tmp_path, [annotation("a", 0), annotation("b", 1), annotation("a", 1)])
    spec = dict(name="skeleton", file="poses.pkl")
    with pytest.raises(UserError, match=r'annotation 2 \("a"\): a is listed twice .*another label'):
        dataset.build(root=str(tmp_path), train=spec, val=spec, checks=("duplicates",))
