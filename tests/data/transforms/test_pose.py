"""Key points: read from files, decompressed, sampled and cut out; against the published cases."""

import os
import pickle
from typing import Any

import numpy as np
import pytest

from jaxvid.data.transforms.pose import (
    CropToPeople,
    Decompress,
    FitVideo,
    Load,
    PadFrames,
    Select,
    UniformClips,
)
from jaxvid.data.video.decode import VideoError
from jaxvid.errors import UserError
from tests.conftest import LegacyGenerator, cases
from tests.data.transforms.test_skeleton import array

RNG = np.random.default_rng(0)


# Frames


def clips(args, **options) -> UniformClips:
    options |= {"train": not args.get("test_mode", False), "clips": args["num_clips"]}
    return UniformClips(**options, **{"seed": args["seed"]} if "seed" in args else {})


@pytest.mark.parametrize("args,given,expected,seed", cases("UniformSampleFrames"))
def test_uniform_clips(args, given, expected, seed):
    rng: Any = LegacyGenerator(seed or 0)
    indices = clips(args, frames=args["clip_len"]).indices(given["total_frames"], rng)
    assert indices.shape == (args["num_clips"], args["clip_len"])
    assert indices.ravel().tolist() == expected


@pytest.mark.parametrize("args,given,expected,seed", cases("MMUniformSampleFrames"))
def test_uniform_clips_of_two_kinds(args, given, expected, seed):
    """Each kind is drawn as if it were alone, which is what makes them independent here."""
    for kind, frames in args["clip_len"].items():
        indices = clips(args, frames=frames).indices(given["total_frames"], RNG)
        assert indices.ravel().tolist() == expected[f"{kind}_inds"]


def test_no_global_generator_is_touched():
    np.random.seed(7)  # noqa: NPY002
    UniformClips(8, clips=3).indices(50, RNG)
    expected = np.random.RandomState(7).rand()
    assert np.random.rand() == expected  # noqa: NPY002


@pytest.mark.parametrize("total", [3, 8, 11, 15, 16, 40])
def test_training_takes_a_frame_of_each_part(total):
    sampler, rng = UniformClips(8, train=True), np.random.default_rng(0)
    drawn = np.stack([sampler.indices(total, rng)[0] for _ in range(600)])
    assert set(drawn.ravel()) == set(range(total))
    if total >= 16:
        borders = [i * total // 8 for i in range(9)]
        assert drawn.min(0).tolist() == borders[:-1]
        assert drawn.max(0).tolist() == [b - 1 for b in borders[1:]]
    elif total >= 8:
        assert (np.diff(drawn, axis=1) > 0).all()  # in order, none twice
    else:
        assert ((np.diff(drawn, axis=1) == 1) | (np.diff(drawn, axis=1) == 1 - total)).all()
        assert set(drawn[:, 0]) == set(range(total))


def test_select():
    points = np.arange(2 * 5 * 3 * 2, dtype=np.float16).reshape(2, 5, 3, 2)
    sample = {"keypoint": points, "keypoint_score": points[..., 0], "label": 1}
    out = Select()(sample | {"frames": np.array([[4, 0, 0], [1, 2, 3]])}, RNG)
    assert out.keys() == {"keypoint", "keypoint_score", "label"}
    assert out["keypoint"].dtype == np.float32
    for v, frames in enumerate([[4, 0, 0], [1, 2, 3]]):
        np.testing.assert_array_equal(out["keypoint"][v], points[:, frames])
        np.testing.assert_array_equal(out["keypoint_score"][v], points[:, frames][..., 0])


@pytest.mark.parametrize("args,given,expected,seed", cases("PadTo"))
def test_pad_frames(args, given, expected, seed):
    pad = PadFrames(args["length"], args["mode"])
    out = pad({"keypoint": array(given["keypoint"])}, RNG)["keypoint"]
    assert out.shape == (1, 1, args["length"], 1, 2)
    assert out.ravel().tolist() == expected


def test_pad_frames_refuses_what_does_not_fit():
    with pytest.raises(UserError, match="8 frames of key points do not fit 7"):
        PadFrames(7)({"keypoint": np.zeros((1, 8, 1, 2))}, RNG)
    with pytest.raises(UserError, match='is "loop" or "zero", not "zeros"'):
        PadFrames(7, "zeros")


# The compact form


@pytest.mark.parametrize("args,given,expected,seed", cases("DecompressPose"))
def test_decompress(args, given, expected, seed):
    sample = {key: given[key] for key in ("frame_inds", "keypoint")}
    sample = {"frame_inds": np.array(sample["frame_inds"]), "keypoint": array(sample["keypoint"])}
    out = Decompress(args["max_person"])(sample, RNG)
    assert out.keys() == {"keypoint", "keypoint_score"}
    assert out["keypoint"].tolist() == expected["kp"]
    assert out["keypoint_score"].tolist() == expected["score"]


def compact(rng, counts, joints=4):
    """`counts` people in as many frames: frame_inds (n,) and keypoint (n j 3)."""
    frames = np.repeat(3 * np.arange(len(counts)), counts)
    return frames, rng.uniform(1, 9, (len(frames), joints, 3)).astype(np.float32)


def test_decompress_keeps_the_best_people_of_each_frame():
    rng = np.random.default_rng(0)
    frames, points = compact(rng, [2, 5, 0, 1, 4])
    out = Decompress(people=3)({"frame_inds": frames, "keypoint": points}, RNG)
    assert out["keypoint"].shape == (3, 4, 4, 2)  # the third frame has nobody
    for t, frame in enumerate([0, 3, 9, 12]):
        rows = sorted(points[frames == frame], key=lambda row: -row[:, 2].sum())[:3]
        for m in range(3):
            expected = rows[m] if m < len(rows) else np.zeros((4, 3))
            np.testing.assert_array_equal(out["keypoint"][m, t], expected[:, :2])
            np.testing.assert_array_equal(out["keypoint_score"][m, t], expected[:, 2])


def test_decompress_leaves_people_in_their_order_where_all_are_kept():
    frames, points = compact(np.random.default_rng(0), [2, 3, 1])
    out = Decompress(people=3)({"frame_inds": frames, "keypoint": points}, RNG)
    np.testing.assert_array_equal(out["keypoint"][:, 1], points[2:5, :, :2])


def test_decompress_leaves_out_what_has_no_frame():
    frames, points = compact(np.random.default_rng(0), [1, 2, 1])
    left = np.where(np.arange(4) == 1, -1, frames)
    out = Decompress()({"frame_inds": left, "keypoint": points}, RNG)
    kept = np.arange(4) != 1
    again = Decompress()({"frame_inds": frames[kept], "keypoint": points[kept]}, RNG)
    np.testing.assert_array_equal(out["keypoint"], again["keypoint"])
    with pytest.raises(VideoError, match=r"a\.pkl: there is no person in it"):
        nobody = {"frame_inds": np.full(4, -1), "keypoint": points, "path": "a.pkl"}
        Decompress()(nobody, RNG)


# Where people are


def corners(text: str) -> np.ndarray:
    """Two joints (1 4 2 2) "(x,y)&(x,y)", the same in all frames."""
    pairs = text.split()[-1].strip("()").split(")&(")
    points = np.array([tuple(map(float, pair.split(","))) for pair in pairs])
    return np.broadcast_to(points, (1, 4, 2, 2))


@pytest.mark.parametrize("args,given,expected,seed", cases("PoseCompact"))
def test_crop_to_people(args, given, expected, seed):
    crop = CropToPeople(
        args["padding"], args["threshold"], args["hw_ratio"] or 0.0, args["allow_imgpad"]
    )
    sample = {"keypoint": corners(given["keypoint"]), "size": np.array(given["img_shape"])}
    out = crop(sample, RNG)
    assert out["size"].tolist() == expected["img_shape"]
    np.testing.assert_allclose(out["keypoint"][0, 0], expected["kp"], atol=1e-6)
    box = crop.box(sample["keypoint"], *given["img_shape"])
    assert (box is None) == (expected.get("crop_quadruple") is None)
    if box:
        top, left, height, width = box
        h, w = given["img_shape"]
        shares = left / w, top / h, width / w, height / h
        np.testing.assert_allclose(shares, expected["crop_quadruple"], atol=1e-6)


def test_missing_joints_neither_count_nor_move():
    points = np.array([[[[30.0, 40.0], [0, 0], [90, 80], [0, 55]]]])
    sample = {"keypoint": points, "size": np.array([200, 200])}
    out = CropToPeople(padding=0)(sample, RNG)
    assert out["size"].tolist() == [40, 60]
    assert out["keypoint"].tolist() == [[[[0, 0], [0, 0], [60, 40], [0, 15]]]]
    nobody = {"keypoint": np.zeros((1, 1, 4, 2)), "size": np.array([200, 200])}
    assert CropToPeople()(nobody, RNG)["size"].tolist() == [200, 200]


def test_the_video_is_cut_with_the_people_and_black_beyond_its_borders():
    video = np.random.default_rng(0).integers(1, 256, (2, 3, 20, 30, 3), np.uint8)
    points = np.array([[[[4.0, 12.0], [24.0, 18.0]]]])
    out = CropToPeople(padding=0.5, smallest=5, ratio=1.0)(
        {"keypoint": points, "video": video}, RNG
    )
    # x: 14 +- 15, y: 15 +- 15: one column and nothing above, ten rows too many below.
    assert out["video"].shape == (2, 3, 30, 30, 3)
    np.testing.assert_array_equal(out["video"][:, :, :20, 1:], video[:, :, :20, :29])
    assert (out["video"][:, :, 20:] == 0).all() and (out["video"][:, :, :, 0] == 0).all()
    assert out["keypoint"].tolist() == [[[[5, 12], [25, 18]]]]


def test_fit_video():
    sample = {"keypoint": np.array([[[[64.0, 27.0]]]], np.float32), "size": np.array([1080, 1920])}
    out = FitVideo()(sample | {"video": np.zeros((1, 1, 540, 480, 3), np.uint8)}, RNG)
    assert out["keypoint"].tolist() == [[[[16.0, 13.5]]]]


# Files


def test_load_takes_every_kind_of_file(tmp_path):
    rng = np.random.default_rng(0)
    points, score = rng.random((2, 5, 17, 2), np.float32), rng.random((2, 5, 17), np.float32)
    whole: Any = dict(keypoint=points, keypoint_score=score, img_shape=(480, 640))
    for protocol in (2, 5):
        (tmp_path / f"{protocol}.pkl").write_bytes(pickle.dumps(whole, protocol))
    (tmp_path / "array.pkl").write_bytes(pickle.dumps(points))
    np.save(tmp_path / "array.npy", points)
    np.savez(tmp_path / "whole.npz", **whole)
    for name in ("2.pkl", "5.pkl", "array.pkl", "array.npy", "whole.npz"):
        out = Load()({"path": str(tmp_path / name), "label": 3}, RNG)
        np.testing.assert_array_equal(out["keypoint"], points)
        if not name.startswith("array"):
            np.testing.assert_array_equal(out["keypoint_score"], score)
            assert out["size"].tolist() == [480, 640]
    assert Load()(out, RNG) is out


def test_load_reads_the_poses_of_an_annotation(tmp_path):
    frames, points = compact(np.random.default_rng(0), [1, 2])
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"keypoint": points.astype(np.float16)}))
    sample = {"path": str(tmp_path / "a.pkl"), "frame_inds": frames}
    out = Load()(sample, RNG)
    assert out["keypoint"].dtype == np.float16 and Decompress()(out, RNG)["keypoint"].shape[0] == 2
    with pytest.raises(VideoError, match=r'a\.pkl: "keypoint" has shape \(3, 4, 3\); exp.* 4 rows'):
        Load()(sample | {"frame_inds": np.array([0, 0, 1, 1])}, RNG)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap",)


@pytest.mark.parametrize(
    "name,content,message",
    [
        ("a.pkl", b"", "the file is empty"),
        ("a.pkl", b"\x80\x04", "not a readable pickle"),
        ("a.pkl", pickle.dumps(Trap()), "refuses to load posix.mkdir"),
        ("a.pkl", pickle.dumps({"keypoints": 1}), 'no "keypoint" in it, only keypoints'),
        ("a.pkl", pickle.dumps(np.zeros((5, 17, 2))), r"\(5, 17, 2\); .*one person is \(1, fra"),
        ("a.npy", b"no array", "no array of numbers in NumPy's format$"),
        ("a.mp4", b"a video", r"give it a file of key points \(\.pkl, \.npz, \.npy\)"),
        ("a.npz", b"PK\x03\x04", "a.npz: .*"),
    ],
)
def test_a_file_that_cannot_be_read_is_the_loaders_affair(tmp_path, name, content, message):
    """Not a UserError that ends the run: `on_error` decides."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=rf"{name}: .*{message.split(': ')[-1]}") as caught:
        Load()({"path": str(tmp_path / name)}, RNG)
    assert str(caught.value).count(str(tmp_path)) == 1
    with pytest.raises(FileNotFoundError):
        Load()({"path": str(tmp_path / "other.pkl")}, RNG)
