"""Inputs of graph networks: normalized bodies, streams, people; against the published cases."""

import re
from typing import Any

import numpy as np
import pytest

from jaxvid import plug, skeletons
from jaxvid.data.recipes import skeleton as recipe
from jaxvid.data.transforms import pose
from jaxvid.data.transforms.skeleton import (
    Normalize2D,
    Normalize3D,
    People,
    Streams,
    bones,
    motion,
    rotation,
)
from jaxvid.errors import UserError
from tests.conftest import cases

RNG = np.random.default_rng(0)


def array(text: str) -> np.ndarray:
    """What the cases write as "arange(n).reshape(shape)" or "RandomState(seed).randn(shape)"."""
    *_, kind, shape = re.findall(r"(reshape|randn|rand)\(([\d,]+)\)", text)[0]
    shape = tuple(map(int, shape.split(",")))
    if kind == "reshape":
        return np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    state = np.random.RandomState(int(re.findall(r"RandomState\((\d+)\)", text)[0]))
    return getattr(state, kind)(*shape)


def close(actual, expected, tolerance=2e-6):
    np.testing.assert_allclose(actual, expected, atol=tolerance, rtol=tolerance)


# Normalization


@pytest.mark.parametrize("args,given,expected,seed", cases("PreNormalize2D"))
def test_normalize_2d(args, given, expected, seed):
    sample = {"keypoint": np.array(given["keypoint"], np.float16), "size": given["img_shape"]}
    close(Normalize2D()(sample, RNG)["keypoint"], expected)


def test_normalize_2d_needs_the_size_of_the_picture():
    with pytest.raises(UserError, match='no "img_shape" in it'):
        Normalize2D()({"keypoint": np.zeros((1, 1, 17, 2))}, RNG)


@pytest.mark.parametrize("args,given,expected,seed", cases("PreNormalize3D"))
def test_normalize_3d(args, given, expected, seed):
    points = array(given["keypoint"])
    if "zeroed" in given["keypoint"]:
        points[0, [1, 4, 5]] = 0
    out = Normalize3D()({"keypoint": points}, RNG)["keypoint"]
    assert out.shape[1] == expected["total_frames"]
    np.testing.assert_allclose(np.abs(out).sum(), expected["abs_sum"], rtol=1e-6)
    if "shape" in expected:
        assert list(out.shape) == expected["shape"]
        close(out[0, 0, 2], expected["kp_p0_f0_j2"])
    else:
        close(out[0, 0, :4], expected["kp_p0_f0_j0_4"])
        close(out[1, 4, 20], expected["kp_p1_f4_j20"])
        close(points[0, 0, 1], expected["body_center"])


def body(rng, frames=6):
    """One person without missing joints (1 t 25 3)."""
    return rng.normal([1, 2, 3], 0.3, (1, frames, 25, 3))


def test_a_normalized_body_faces_the_viewer():
    out = Normalize3D()({"keypoint": body(np.random.default_rng(1))}, RNG)["keypoint"]
    close(out[0, 0, 1], np.zeros(3))
    shoulders = out[0, 0, 8] - out[0, 0, 4]
    close(shoulders / np.linalg.norm(shoulders), [1, 0, 0])
    assert out.dtype == np.float32


def test_normalizing_does_not_depend_on_the_view_nor_change_lengths():
    rng = np.random.default_rng(2)
    points = body(rng)
    # The two turns leave no freedom only if the spine and the shoulders are orthogonal.
    points[0, 0, [0, 1, 4, 8]] = [[5, 5, 5], [5, 5, 6], [4, 5, 6], [6, 5, 6]]
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    one, other = (Normalize3D()({"keypoint": p}, RNG)["keypoint"] for p in (points, points @ turn))
    close(one, other, 1e-5)
    lengths = np.linalg.norm(points[..., None, :] - points[..., None, :, :], axis=-1)
    close(np.linalg.norm(one[..., None, :] - one[..., None, :, :], axis=-1), lengths, 1e-5)


def test_missing_joints_and_people_stay_zeros():
    points = np.concatenate([body(np.random.default_rng(3)), np.zeros((1, 6, 25, 3))])
    points[0, 2, 7] = 0
    out = Normalize3D()({"keypoint": points}, RNG)["keypoint"]
    assert out.shape == points.shape
    assert (out[1] == 0).all() and (out[0, 2, 7] == 0).all() and (out[0, 3, 7] != 0).any()


def test_nobody_there_is_left_alone():
    points = np.zeros((2, 3, 25, 3))
    assert Normalize3D()({"keypoint": points}, RNG)["keypoint"].shape == points.shape


def test_the_person_who_is_there_longest_comes_first_of_three():
    rng = np.random.default_rng(4)
    points = np.concatenate([body(rng) for _ in range(3)])
    points[0, :2], points[1, 1], points[2, :3] = 0, 0, 0
    out = Normalize3D()({"keypoint": points}, RNG)["keypoint"]
    assert out.shape == (3, 5, 25, 3)
    assert (out[0] != 0).any((1, 2)).all()  # the second of them, where it is there
    assert (out[1] != 0).any((1, 2)).tolist() == [False, True, True, True, True]  # the first
    assert (out[2] != 0).any((1, 2)).tolist() == [False, False, True, True, True]


@pytest.mark.parametrize("line", [(1, 2, 3), (0, 0, -2), (0, 0, 5), (0, 0, 0), (-1, 0, 1e-3)])
def test_rotation(line):
    line, axis = np.array(line, float), np.array([0, 0, 1.0])
    matrix = rotation(line, axis)
    close(matrix @ matrix.T, np.eye(3))
    close(np.linalg.det(matrix), 1)
    if np.cross(line, axis).any():
        close(matrix @ line, np.linalg.norm(line) * axis)
    else:
        close(matrix, np.eye(3))


# Streams


@pytest.mark.parametrize("args,given,expected,seed", cases("JointToBone"))
def test_bones(args, given, expected, seed):
    joints = array(given["keypoint"])
    skeleton = skeletons.get(args["dataset"])
    scored = args["dataset"] != "nturgb+d" and joints.shape[-1] == 3
    close(bones(joints, skeleton, scored)[0, 0], expected)


@pytest.mark.parametrize("args,given,expected,seed", cases("GenSkeFeat"))
def test_streams(args, given, expected, seed):
    sample = {key: array(given[key]) for key in ("keypoint", "keypoint_score")}
    out = Streams(args["dataset"], tuple(args["feats"]))(sample, RNG)
    assert "keypoint_score" not in out
    assert list(out["keypoint"].shape) == expected["shape"]
    close(out["keypoint"][0, 0, 5], expected["p0_f0_j5"])
    close(out["keypoint"][0, 3, 5], expected["p0_f3_j5"])


def test_motion_is_the_step_to_the_next_frame():
    points = np.random.default_rng(0).normal(size=(2, 4, 3, 3))
    out = motion(points, scored=False)
    for t in range(3):
        close(out[:, t], points[:, t + 1] - points[:, t])
    assert (out[:, 3] == 0).all()


def test_each_stream_alone_is_its_part_of_all_of_them():
    rng = np.random.default_rng(0)
    sample = {"keypoint": rng.normal(size=(2, 5, 25, 3)).astype(np.float16)}
    names = ("bm", "j", "jm", "b")
    every = Streams("nturgb+d", names)(sample, RNG)["keypoint"]
    assert every.shape == (2, 5, 25, 12) and every.dtype == np.float32
    for k, name in enumerate(names):
        alone = Streams("nturgb+d", (name,))(sample, RNG)["keypoint"]
        np.testing.assert_array_equal(alone, every[..., 3 * k : 3 * k + 3])


def test_streams_that_do_not_exist_and_joints_that_do_not_fit():
    with pytest.raises(UserError, match=r"streams are some of j, b, jm, bm, not \('x',\)"):
        Streams("coco", ("x",))
    with pytest.raises(UserError, match=r'have 25 joints, 17 in the layout "coco"; set .*layout'):
        Streams("coco")({"keypoint": np.zeros((1, 2, 25, 3))}, RNG)


# People


@pytest.mark.parametrize("args,given,expected,seed", cases("FormatGCNInput"))
def test_people(args, given, expected, seed):
    points = array(given["keypoint"])
    frames = np.arange(points.shape[1]).reshape(given["num_clips"], -1)
    sample = pose.Select()({"keypoint": points, "frames": frames}, RNG)
    out = People(args["num_person"], args["mode"] == "loop")(sample, RNG)["keypoint"]
    assert list(out.shape) == expected["shape"] and out.dtype == np.float32
    np.testing.assert_array_equal(out.ravel(), expected["flat"])


def test_several_people_are_never_repeated():
    points = np.ones((1, 2, 3, 4, 3))
    out = People(4, loop=True)({"keypoint": points}, RNG)["keypoint"]
    assert (out[:, :2] == 1).all() and (out[:, 2:] == 0).all()


# Recipe


def sample_of(layout="coco", people=1, frames=130) -> dict[str, Any]:
    """As a source yields it."""
    rng, joints = np.random.default_rng(0), skeletons.get(layout).joints
    sample: dict[str, Any] = {"label": np.int32(3)}
    if layout == "nturgb+d":
        return sample | {"keypoint": rng.normal(size=(people, frames, joints, 3))}
    points = rng.uniform(1, 400, (people, frames, joints, 2)).astype(np.float16)
    score = rng.random((people, frames, joints)).astype(np.float16)
    return sample | {"keypoint": points, "keypoint_score": score, "size": np.array([480, 640])}


def run(transforms, sample, seed=0):
    rng = np.random.default_rng(seed)
    for transform in transforms:
        sample = transform(sample, rng)
    return sample


@pytest.mark.parametrize("layout", ["coco", "nturgb+d"])
@pytest.mark.parametrize("split,views", [("train", 1), ("val", 1), ("test", 10)])
def test_recipe(layout, split, views):
    out = run(recipe.build(split, layout=layout), sample_of(layout))
    assert out.keys() == {"keypoint", "label"}
    joints = skeletons.get(layout).joints
    assert out["keypoint"].shape == (views, 2, 100, joints, 3)
    assert out["keypoint"].dtype == np.float32 and out["keypoint"].flags.c_contiguous
    assert np.abs(out["keypoint"][:, 0]).max() > 0 and (out["keypoint"][:, 1] == 0).all()


def test_only_training_is_random():
    for split, same in (("train", False), ("val", True), ("test", True)):
        transforms = recipe.build(split)
        one, other = (run(transforms, sample_of(), seed)["keypoint"] for seed in (0, 1))
        assert np.array_equal(one, other) == same


def test_motion_is_between_frames_of_the_video_not_of_the_clip():
    """Frames of a clip lie further apart: streams are made first."""
    sample = sample_of(frames=300)
    sample["keypoint"] = np.broadcast_to(np.arange(300.0)[:, None, None], (1, 300, 17, 2))
    out = run(recipe.build("val", streams=("jm",)), sample)["keypoint"]
    close(out[0, 0, :-1, :, 0], np.full((99, 17), 1 / 320))


def test_recipe_that_pads():
    out = run(recipe.build("train", frames=300, beyond="zero"), sample_of())["keypoint"]
    assert out.shape == (1, 2, 300, 17, 3)
    assert (out[0, 0, :130] != 0).any((1, 2)).all() and (out[:, :, 130:] == 0).all()


def test_recipe_mistakes():
    with pytest.raises(UserError, match="a split is train, val or test"):
        recipe.build("xsub_train")
    with pytest.raises(UserError, match=r'no "layuot".*"layout"'):
        plug.load("data.recipes", dict(name="skeleton", layuot="coco"), split="train")
    with pytest.raises(UserError, match='no skeleton layout "ntu"'):
        run(recipe.build("val", layout="ntu"), sample_of())
