"""Generated skeletons: only motion tells the classes apart, and each stream knows a part of it."""

import numpy as np
import pytest

from jaxvid import skeletons
from jaxvid.config import loading
from jaxvid.data import dataset
from jaxvid.data.sources import user_skeletons
from jaxvid.data.synthetic import poses
from jaxvid.data.transforms.skeleton import bones
from jaxvid.errors import UserError
from jaxvid.tools import make_skeletons

LAYOUTS = sorted(poses.BODIES)


def calm(monkeypatch, layout):
    """Let the bodies of a layout neither shake nor have noise."""
    body = poses.BODIES[layout]
    changed = {name: getattr(body, name) for name in body.__dataclass_fields__}
    changed = poses.Body(**changed | {"shake": 0.0, "noise": 0.0})
    monkeypatch.setitem(poses.BODIES, layout, changed)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_annotation_depends_on_its_arguments_only(layout):
    one, same = poses.draw(layout, "train", 3), poses.draw(layout, "train", 3)
    np.testing.assert_array_equal(one["keypoint"], same["keypoint"])
    count, dims = skeletons.get(layout).joints, 3 if layout == "nturgb+d" else 2
    assert one["keypoint"].shape == (1, one["total_frames"], count, dims)
    assert ("keypoint_score" in one) == ("img_shape" in one) == (dims == 2)
    for other in (("val", 3, 0), ("train", 3, 1)):
        assert not np.array_equal(
            poses.draw(layout, *other)["keypoint"][:, 0], one["keypoint"][:, 0]
        )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_single_frame_says_nothing(layout):
    """The mean pose of the first, middle and last frames is the same in all classes."""
    names = poses.classes(layout)
    for at in (0, 12, -1):
        found = [[] for _ in names]
        for index in range(60 * len(names)):
            each = poses.draw(layout, "train", index)
            found[each["label"]].append(each["keypoint"][0, at].ravel())
        found = np.array(found)  # (classes, samples, numbers)
        error = found.std((0, 1)) / np.sqrt(found.shape[1])
        assert (np.abs(found.mean(1) - found.mean((0, 1))) / error).max() < 5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_class_moves_its_limb_only(layout, monkeypatch):
    calm(monkeypatch, layout)
    body = poses.BODIES[layout]
    for label, (axis, _) in enumerate(body.moves.values()):
        points = poses.draw(layout, "train", label)["keypoint"][0]
        moved = set(np.flatnonzero(np.ptp(points, 0).max(-1) > 1e-4).tolist())
        first = body.limbs[axis][1] if axis in body.limbs else skeletons.get(layout).center
        limb = poses.branch(layout, first) if axis in body.limbs else range(points.shape[1])
        assert moved == set(limb)


def changes(layout):
    """The mean change of joints and of bones from frame to frame in a sequence of each class."""
    for label, name in enumerate(poses.classes(layout)):
        points = poses.draw(layout, "train", label)["keypoint"]
        both = points, bones(points, skeletons.get(layout), False)
        yield name, *(np.abs(np.diff(each, axis=1)).mean() for each in both)


def test_bones_do_not_shake_and_do_not_walk(monkeypatch):
    assert all(joint > 3 * bone for _, joint, bone in changes("coco"))
    calm(monkeypatch, "coco")
    for name, joint, bone in changes("coco"):
        assert joint > 0.05 and (bone < 1e-4) == name.startswith("walk")


@pytest.mark.parametrize(
    "layout,config", [("coco", "2d_b"), ("nturgb+d", "3d_j"), ("handmp", "hand_j")]
)
def test_the_command_writes_what_the_config_reads(layout, config, tmp_path, capsys):
    command = [str(tmp_path / "set"), "--layout", layout, "--train", "20", "--val", "10"]
    assert make_skeletons.main(command) == make_skeletons.main(command) == 0
    assert f"quickstart_skeleton:stgcnpp_{config[:-1]}" in capsys.readouterr().out
    run = loading.load(f"quickstart_skeleton:stgcnpp_{config}")
    run.data.root = str(tmp_path / "set")
    data = dataset.for_training(run.data, run.task, checks=run.data.checks)
    assert data.names == poses.classes(layout)
    assert [len(data.splits[split]) for split in ("train", "val")] == [20, 10]
    source = user_skeletons.build("val", root=str(tmp_path / "set"))
    np.testing.assert_array_equal(source[4]["keypoint"], poses.draw(layout, "val", 4)["keypoint"])


def test_what_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(UserError, match="train and val are 10 or more"):
        poses.generate(tmp_path / "set", train=9)
    with pytest.raises(UserError, match=r'for the layout "coc"\. Did you mean "coco"'):
        poses.generate(tmp_path / "set", "coc")
    poses.generate(tmp_path / "set", train=10, val=10)
    with pytest.raises(UserError, match="choose another folder"):
        poses.generate(tmp_path / "set", train=11, val=10)
