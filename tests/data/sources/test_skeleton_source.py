"""Skeleton pickles as published and as users write them, and what is wrong in them."""

import mmap
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxvid.data import dataset, source_checks
from jaxvid.data.annotations import skeleton_files
from jaxvid.data.loading import loader
from jaxvid.data.recipes import skeleton as recipe
from jaxvid.data.sources import video_list
from jaxvid.data.transforms.pose import Decompress, Load
from jaxvid.errors import UserError
from tests.conftest import logs
from tests.data.sources.skeleton_pickles import (
    RNG,
    annotation,
    build,
    joints,
    kinetics,
    published,
    write,
)
from tests.data.transforms.test_pose import Trap


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "skeletons"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_published_pickle(tmp_path, protocol):
    content = published()
    write(tmp_path, content, protocol=protocol)
    train, val = build(tmp_path), build(tmp_path, "val", subset="xsub_val")
    # In the order of the annotations, not of the split.
    assert [train.id(i) for i in range(len(train))] == ["a", "c"]
    assert [val.id(i) for i in range(len(val))] == ["b", "d"]
    assert val.labels.tolist() == [1, 1] and val.labels.dtype == np.int32 and val.names == ()
    assert val.where(1) == f'{tmp_path}/poses.pkl: annotation 3 ("d")'
    for i, row in enumerate([1, 3]):
        sample, expected = val[i], content["annotations"][row]
        assert sample.keys() == {"label", "keypoint", "keypoint_score", "size"}
        for key in ("keypoint", "keypoint_score"):
            np.testing.assert_array_equal(sample[key], expected[key], strict=True)
        assert sample["size"].tolist() == [480, 640] and sample["label"] == 1


def test_a_plain_list_is_taken_whole(tmp_path):
    solid: Any = dict(keypoint_score=None, img_shape=None)
    rng = np.random.default_rng(0)
    points = [rng.normal(size=(m, 12, 25, 3)) for m in (2, 1, 2)]
    rows = [annotation(f"S{i}", i, **solid, keypoint=p) for i, p in enumerate(points)]
    write(tmp_path, [{**row, "filename": row.pop("frame_dir")} for row in rows])
    source = build(tmp_path)
    assert len(source) == 3 and source.id(2) == "S2" and source[0].keys() == {"label", "keypoint"}
    # float64 is more than anything downstream keeps.
    np.testing.assert_array_equal(source[1]["keypoint"], points[1].astype(np.float32), strict=True)


def test_missing_joints_written_as_nan_are_zeros(tmp_path):
    one = annotation("a", 0)
    one["keypoint"][0, 3, 5] = np.nan
    write(tmp_path, [annotation("b", 0), one])
    for _ in range(2):  # also when it is in the cache
        with logs(r'1 of 2 annotations have NaN .* annotation 1 \("a"\)'):
            points = build(tmp_path)[1]["keypoint"]
    assert (points[0, 3, 5] == 0).all() and np.isfinite(points).all()


def test_frames_of_a_known_label_file(tmp_path):
    names = ("walk", "sit")
    write(tmp_path, published())
    data = dataset.build(
        root=str(tmp_path),
        known_names=names,
        train=dict(name="skeleton", file="poses.pkl"),
        val=dict(name="skeleton", file="poses.pkl", subset="xsub_val"),
        checks=("labels", "missing", "overlap"),
    )
    assert data.names == names and data.num_classes == 2
    assert next(data.summary()).startswith("train: 2 videos, 2 classes")


def test_dataset_checks_name_file_and_annotation(tmp_path):
    content = published()
    content["annotations"][2]["label"] = 7
    content["split"]["xsub_val"].append("a")
    write(tmp_path, content)
    specs: Any = {
        "train": dict(name="skeleton", file="poses.pkl"),
        "val": dict(name="skeleton", file="poses.pkl", subset="xsub_val"),
    }
    with pytest.raises(UserError) as caught:
        dataset.build(root=str(tmp_path), num_classes=2, **specs)
    message = str(caught.value)
    assert 'poses.pkl: annotation 2 ("c"): label 7 is outside 0..1' in message
    assert "class 1 has no training video" in message
    assert 'annotation 0 ("a"): a is also in training' in message


@pytest.mark.parametrize(
    "change,message",
    [
        (dict(label=None), r'annotation 1 \("b"\): no "label" in it'),
        (dict(label=None, lable=1), 'no "label" in it. Did you mean "lable"'),
        (dict(label=1.5), '"label" is 1.5; expected a whole number'),
        (dict(label=[1, 2]), r'"label" is \[1, 2\]; expected a whole number'),
        (
            dict(frame_dir=None, framedir="b"),
            'annotation 1: no "frame_dir" in it. Did .*"framedir"',
        ),
        (dict(total_frames=None), 'no "total_frames" in it'),
        (dict(total_frames=9), r"\(1, 12, 17, 2\); expected .total_frames., 9, as its second"),
        (dict(keypoint=None), r'annotation 1 \("b"\): no "keypoint" in it, but others have one'),
        (dict(keypoint_score=None), 'no "keypoint_score" in it, but others'),
        (dict(img_shape=None), 'no "img_shape" in it, but others'),
        (
            dict(img_shape=(480, 640, 3)),
            r'"img_shape" is \(480, 640, 3\); expected \(height, width\)',
        ),
        (dict(keypoint=np.zeros((12, 17, 2))), r"\(12, 17, 2\); .*; one person is \(1, frames"),
        (dict(keypoint=np.zeros((1, 12, 17, 4))), r"expected \(people, frames, joints, 2 or 3\)$"),
        (dict(keypoint=np.zeros((0, 12, 17, 2))), "at least one person"),
        (dict(keypoint_score=np.zeros((1, 12, 16))), r"\(1, 12, 16\); expected \(1, 12, 17\)"),
        (dict(keypoint=np.full((1, 12, 17, 2), np.inf)), '"keypoint" has infinite values'),
        (dict(keypoint=np.full((1, 12, 17, 2), "x")), '"keypoint" has <U1 instead of numbers'),
        (dict(label=True), '"label" is True; expected a whole number'),
        (dict(label=2**40), '"label" is 1099511627776; expected a whole number'),
        (dict(total_frames=0), '"total_frames" is 0; expected a number of frames above 0'),
        (dict(img_shape=(480, np.nan)), r'"img_shape" has nan at \[1\]'),
        (dict(img_shape=("480", "640")), '"img_shape" has <U3 instead of numbers'),
        (dict(img_shape=(0, 640)), r'"img_shape" is \(0, 640\); expected \(height, width\)'),
        (dict(frame_dir=1.5), 'annotation 1: "frame_dir" is 1.5; expected text or a whole number'),
        (dict(frame_dir=""), 'annotation 1: "frame_dir" is .*; expected text or a whole number'),
        (
            dict(keypoint=[np.zeros((2, 17, 2)), np.zeros((1, 17, 2))], total_frames=2),
            '"keypoint" has rows of different lengths, .* zeros where a frame has fewer people',
        ),
        (
            dict(keypoint=[[[1.0], None]]),
            '"keypoint" has rows of different lengths, or no numbers',
        ),
        (dict(keypoint=np.full((1, 12, 17, 2), 1e300)), '"keypoint" has infinite values'),
        (dict(keypoint=np.full((1, 12, 17, 2), np.nan)), '"keypoint" is NaN everywhere'),
        (
            dict(keypoint=np.ones((1, 12, 18, 2)), keypoint_score=np.ones((1, 12, 18))),
            r'"keypoint" has shape \(1, 12, 18, 2\); expected \(17, 2\) last, as others',
        ),
    ],
)
def test_an_annotation_that_cannot_be_used_is_named(tmp_path, change, message):
    path = write(tmp_path, [annotation("a", 0), annotation("b", 1, **change)])
    with pytest.raises(
        UserError, match=f"^{path}: annotation 1.*{message.split('annotation 1')[-1]}"
    ):
        build(tmp_path)
    assert not list((tmp_path / "cache" / "skeletons").glob("poses*"))


@pytest.mark.parametrize(
    "content,message",
    [
        ({"annotations": []}, 'no "split" in it'),
        ({"split": {}, "annotation": []}, 'no "annotations" in it. Did you mean "annotation"'),
        ({"split": {}, "annotations": []}, "there are no annotations in it"),
        (
            {"split": {"train": ["x"]}, "annotations": [annotation("a", 0)]},
            "no annotation belongs to",
        ),
        ("text", "expected a list of annotations, or .* found a str"),
        ([1], "annotation 0: expected a dict, found a int"),
    ],
)
def test_a_pickle_of_something_else(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(UserError, match=f"^{path}: {message}"):
        build(tmp_path)


def test_2d_key_points_need_the_size_of_their_image(tmp_path):
    path = write(tmp_path, [annotation(name, 0, img_shape=None) for name in "ab"])
    with pytest.raises(UserError, match=rf'{path}: annotation 0 \("a"\): no "img_shape" in it'):
        build(tmp_path)
    assert len(build(tmp_path, suffix=".mp4")) == 2  # the video has a size


def test_key_points_in_space_are_no_pixels(tmp_path):
    points = RNG.uniform(-1, 1, (1, 12, 25, 3)).astype(np.float32)
    write(tmp_path, [annotation(n, 0, keypoint=points, keypoint_score=None) for n in "ab"])
    np.testing.assert_array_equal(build(tmp_path)[1]["keypoint"], points)


def test_key_points_that_are_shares_of_the_image_are_named(tmp_path):
    rows = [annotation(name, 0) for name in "ab"]
    write(tmp_path, [row | {"keypoint": row["keypoint"] / 640} for row in rows])
    with pytest.raises(
        UserError, match=r'"keypoint" is at most 0\.6\d .*img_shape is \(480, 640\)'
    ):
        build(tmp_path)


@pytest.mark.parametrize(
    "members,message",
    [
        ("abc", '"split": "train" is .abc.; expected a list'),
        (None, '"split": "train" is None; expected a list'),
        (["a", None], '"split", "train": "1" is None; expected text or a whole number'),
    ],
)
def test_a_split_that_is_no_list_of_ids(tmp_path, members, message):
    path = write(tmp_path, {"split": {"train": members}, "annotations": [annotation("a", 0)]})
    with pytest.raises(UserError, match=f"^{path}, {message}"):
        build(tmp_path)


@pytest.mark.parametrize(
    "change,message",
    [
        (dict(frame_inds=np.full(40, np.nan)), '"frame_inds" is invalid; expected .poses,.'),
        (dict(frame_inds=np.arange(40) / 2), '"frame_inds" is invalid; expected .poses,.'),
        (dict(frame_inds=np.arange(40) - 1), '"frame_inds" is invalid; expected .poses,.'),
        (dict(frame_inds=np.arange(40)), '"frame_inds" goes to 39, beyond "total_frames", 30'),
        (dict(box_score=np.ones((40, 1))), r'"box_score" has shape \(40, 1\); expected 40 rows'),
        (dict(box_score=np.full(40, np.inf)), '"box_score" has infinite values'),
        (dict(valid=3), '"valid" is 3; expected {threshold: frames}'),
        (
            dict(valid={0.5: 31, 0.9: 1, 0.99: 1}),
            '"valid": "0.5" is 31; expected a number of frames',
        ),
        (dict(valid={0.5: 3, 0.9: 1}), '"valid": no "0.99" in it'),
    ],
)
def test_a_compact_annotation_that_cannot_be_used_is_named(tmp_path, change, message):
    content = kinetics("ab")
    content["annotations"][1] |= change
    path = write(tmp_path, content)
    with pytest.raises(UserError, match=rf'^{path}: annotation 1 \("b"\).*{message}'):
        build(tmp_path)


def test_no_such_file_and_no_such_split(tmp_path):
    with pytest.raises(UserError, match=r"poses\.pkl: no such val annotations; .*data\.val\.file"):
        build(tmp_path, "val")
    write(tmp_path, published())
    with pytest.raises(
        UserError, match=r'no split "val" in it; set .*val\.subset\. Did .*"xsub_val"'
    ):
        build(tmp_path, "val")
    with pytest.raises(UserError, match='no split "xview" in it'):
        build(tmp_path, subset="xview")
    write(tmp_path, [annotation("a", 0)], "list.pkl")
    with pytest.raises(UserError, match='no split "train" in it'):
        build(tmp_path, file="list.pkl", subset="train")


def test_a_damaged_and_a_hostile_pickle(tmp_path):
    path = write(tmp_path, published())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=f"^{path}: not a readable pickle"):
        build(tmp_path)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match=f"^{path}: refuses to load posix.mkdir"):
        build(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="the file is empty"):
        build(tmp_path)


def test_samples_of_a_split_without_annotation_are_told(tmp_path):
    content = published()
    content["split"]["train"] += ["y", "z"]
    write(tmp_path, content)
    with logs(r'2 of 4 samples of the split "train" have no .*"y"'):
        assert len(build(tmp_path)) == 2


def test_scores_that_are_missing_are_1_and_those_of_missing_joints_0(tmp_path):
    rows = joints(17, 2, False)
    rows[0]["keypoint"][0, 3, 5] = 0
    write(tmp_path, rows)
    with logs('no "keypoint_score" in it; the score of a joint is 1'):
        score = Load()(build(tmp_path)[0], RNG)["keypoint_score"]
    assert score.shape == (1, 12, 17) and score[0, 3, 5] == 0 and score.sum() == 12 * 17 - 1


def test_annotations_without_anybody_are_left_out(tmp_path):
    content = kinetics("abc")
    rows = content["annotations"]
    for key in ("frame_inds", "box_score", "keypoint"):
        rows[1][key] = rows[1][key][:0]
    write(tmp_path, content)
    with logs(r'1 of 3 annotations have nobody in them .*annotation 1 \("b"\)'):
        source = build(tmp_path)
    assert [source.id(i) for i in range(len(source))] == ["a", "c"]
    write(tmp_path, rows[1:2])
    with pytest.raises(UserError, match=r"poses\.pkl: no annotation of train has a person"):
        build(tmp_path)


# The cache


def test_a_file_is_converted_once_and_again_when_it_changes(tmp_path, cache, monkeypatch):
    write(tmp_path, published())
    build(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(skeleton_files, "_convert", lambda *_: pytest.fail("it was there"))
        build(tmp_path, "val", subset="xsub_val")
    assert len(list(cache.glob("poses-*"))) == 1
    assert skeleton_files.read(folder := build(tmp_path).folder) is skeleton_files.read(folder)
    for count, label in ((2, 5), (3, 6)):  # the second time only the time differs
        path = write(tmp_path, [annotation("other", label)])
        os.utime(path, (label, label))
        assert build(tmp_path).labels.tolist() == [label]
        assert len(list(cache.glob("poses-*"))) == count


def test_no_room_for_the_cache_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    write(tmp_path, published())
    monkeypatch.setattr(np.lib.format, "open_memmap", full)
    with pytest.raises(UserError, match=r"poses\.pkl: its .* No space left .*set JAXVID_CACHE"):
        build(tmp_path)


def test_what_travels_to_a_worker_is_small(tmp_path):
    rows = [annotation(f"{i:03}", i % 3, frames=60) for i in range(100)]
    write(tmp_path, rows)
    source = build(tmp_path)
    sizes = sum(row["keypoint"].nbytes + row["keypoint_score"].nbytes for row in rows)
    assert sizes > 500_000
    again = pickle.loads(travelling := pickle.dumps(source))
    assert len(travelling) < 3000
    np.testing.assert_array_equal(again[50]["keypoint"], rows[50]["keypoint"])
    owner = again[50]["keypoint"]
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, mmap.mmap)


# The compact form, and files of their own


def dense(sample):
    return Decompress()(Load()(sample, RNG), RNG)


def test_compact_key_points_inside_and_in_files_are_the_same(tmp_path):
    (tmp_path / "kp").mkdir()
    write(tmp_path, kinetics("abc"), "inside.pkl")
    write(tmp_path, kinetics("abc", tmp_path / "kp"), "files.pkl")
    inside = build(tmp_path, file="inside.pkl")
    files = build(tmp_path, file="files.pkl", prefix="kp", suffix=".pkl")
    assert files[1]["path"] == str(tmp_path / "kp" / "b.pkl")
    for i in range(3):
        one, other = dense(inside[i]), dense(files[i])
        np.testing.assert_array_equal(one["keypoint"], other["keypoint"], strict=True)
        assert one["keypoint"].shape[2:] == (17, 2) and one["keypoint"].shape[1] <= 29
    (tmp_path / "kp" / "b.pkl").unlink()
    problems = list(source_checks.check_missing({"train": files}, 3, ()))
    assert problems == [f"{files.where(1)}: no such file: {tmp_path}/kp/b.pkl"]


def test_key_points_that_are_nowhere(tmp_path):
    write(tmp_path, kinetics("ab", tmp_path))
    with pytest.raises(
        UserError, match=r'no "keypoint" in it; .*train\.prefix="FOLDER" and suffix'
    ):
        build(tmp_path)


def test_valid_ratio_and_box_thr(tmp_path):
    content = kinetics("abcdef")
    write(tmp_path, content)
    for thr, ratio in ((0.5, 0.4), (0.9, 0.1), (0.99, 0.01)):
        source = build(tmp_path, valid_ratio=ratio, box_thr=thr)
        kept = []
        for row in content["annotations"]:
            if row["valid"][thr] / 30 >= ratio:
                kept.append(row["frame_dir"])
        assert [source.id(i) for i in range(len(source))] == kept and kept
        row = content["annotations"]["abcdef".index(kept[0])]
        poses_left = (row["box_score"] >= np.float16(thr)).sum()
        assert (source[0]["frame_inds"] >= 0).sum() == poses_left < 40
        assert (dense(source[0])["keypoint_score"].any(-1)).sum() == poses_left
    assert len(build(tmp_path)) == 6 and (build(tmp_path)[0]["frame_inds"] >= 0).all()
    with pytest.raises(UserError, match=r"no sample of train has valid_ratio=1\.5"):
        build(tmp_path, valid_ratio=1.5)
    write(tmp_path, published(), "dense.pkl")
    with pytest.raises(UserError, match=r"box_thr=0\.7; the file has: 0\.5, 0\.9, 0\.99"):
        build(tmp_path, valid_ratio=0.5, box_thr=0.7)
    with pytest.raises(UserError, match=r"box_thr=0\.5; the file has: none"):
        build(tmp_path, file="dense.pkl", valid_ratio=0.5)


def test_videos_beside_the_skeletons(tmp_path):
    write(tmp_path, published())
    source = build(tmp_path, prefix="videos", suffix="_rgb.avi")
    assert source[1]["path"] == str(tmp_path / "videos" / "c_rgb.avi") and "keypoint" in source[1]


def test_a_list_of_files_is_a_skeleton_set_too(tmp_path):
    """`video_list` has the paths, the recipe reads them."""
    for name, label in (("a", 0), ("b", 1)):
        one = annotation(name, label)
        np.savez(tmp_path / f"{name}.npz", **{k: one[k] for k in list(one)[2:]})
    (tmp_path / "train.csv").write_text("path,label\na.npz,0\nb.npz,1\n")
    source: Any = video_list.build("train", root=str(tmp_path), file="train.csv")
    (batch,) = loader.eval_batches(source, recipe.build("val"), batch=2, workers=0)
    assert batch["keypoint"].shape == (2, 1, 2, 100, 17, 3) and batch["label"].tolist() == [0, 1]


# Real annotations and the loader


@pytest.mark.skipif("JAXVID_DATA" not in os.environ, reason="JAXVID_DATA is not set")
def test_kinetics_annotations_as_published(tmp_path):
    shutil.copy(Path(os.environ["JAXVID_DATA"], "annotations", "sample.pkl"), tmp_path)
    rows = skeleton_files.load(tmp_path / "sample.pkl")["annotations"]
    options = dict(file="sample.pkl", prefix="kp", suffix=".pkl")
    source = build(tmp_path, **options)
    assert len(source) == 100 and source[0]["size"].tolist() == list(rows[0]["img_shape"])
    for thr in (0.5, 0.6, 0.7, 0.8, 0.9):  # the published counts of valid frames
        for ratio in (0.3, 0.5):
            enough = [r for r in rows if r["valid"][thr] / r["total_frames"] >= ratio]
            kept = build(tmp_path, valid_ratio=ratio, box_thr=thr, **options)
            assert [kept.id(i) for i in range(len(kept))] == [r["frame_dir"] for r in enough]


def test_workers_give_what_one_process_gives(tmp_path):
    rows = [annotation(f"{i:02}", i % 3, 20 + 9 * i, 1 + i % 3) for i in range(10)]
    write(tmp_path, {"split": {"train": [r["frame_dir"] for r in rows]}, "annotations": rows})
    source, transforms = build(tmp_path), recipe.build("train", streams=("j", "b"))

    def take(workers):
        batches = loader.train_batches(
            source, transforms, batch=4, seed=3, stop=5, workers=workers, on_error="raise"
        )
        return [{k: np.array(v) for k, v in batch.items()} for batch in batches]

    one, two = take(0), take(2)
    assert len(one) == len(two) == 5
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys() == {"keypoint", "label", "index", "mask"}
        assert a["keypoint"].shape == (4, 1, 2, 100, 17, 6)
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])
    assert sorted(i for b in one[:2] for i in b["index"]) != list(range(8))  # shuffled
