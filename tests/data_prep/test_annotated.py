"""Data sets with segments, boxes or captions, on fakes of what their archives unpack to."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxvid import class_names
from jaxvid.data.sources import activitynet, ava, multisports, video_list, video_text
from jaxvid.errors import UserError
from tests.data_prep import fakes
from tests.data_prep.fakes import listed, stored, written

SURFING = class_names.of("activitynet").index("Surfing")
SEGMENT = fakes.SEGMENT


def records(name: str, raw: Path, split: str) -> list[dict[str, Any]]:
    """Return what a built data set has, as TFDS itself reads it."""
    made: Any = tfds.builder_from_directory(raw / "data" / name / "1.0.0")
    return list(made.as_data_source(split))


# Segments


def test_activitynet_features(tmp_path):
    published = fakes.activitynet(tmp_path)
    assert listed("activitynet/features", tmp_path) == {
        "train": [("v_a.csv", (SURFING,)), ("v_c.csv", (SURFING,))],
        "val": [("v_b.csv", (SURFING,))],
    }
    lists = written("activitynet/features", tmp_path)
    assert sorted(lists) == ["anet_anno_train.json", "anet_anno_val.json"]
    assert json.loads((tmp_path / "lists/anet_anno_train.json").read_text()) == {
        "v_a": published["v_a"]
    }
    folder = "activitynet_feature_cuhk/csv_mean_100"
    source = activitynet.build(
        "val",
        root=str(tmp_path),
        file="lists/anet_anno_val.json",
        features=folder,
        suffix=".csv",
    )
    assert source[0]["path"] == str(tmp_path / "activitynet_feature_cuhk/csv_mean_100/v_b.csv")
    assert source[0]["duration"] == pytest.approx(0.8)
    assert stored("activitynet/features", tmp_path) == {"train": 1, "val": 1}
    (record,) = records("activitynet/features", tmp_path, "train")
    np.testing.assert_array_equal(record["feature"], [[0.5, 1], [0.5, 1]])
    assert json.loads(record["annotation"]) == {"v_a": published["v_a"]}


def test_activitynet_videos(tmp_path):
    fakes.videos(tmp_path / "videos", ["v_a.mp4", "v_b.mkv"])
    fakes.official(tmp_path / "activity_net.v1-3.min.json", {"a": "training", "b": "validation"})
    lists = written("activitynet/videos", tmp_path)
    assert lists["anet_train_video.txt"] == [f"v_a.mp4 {SURFING}"]
    source = video_list.build(
        "val",
        root=str(tmp_path),
        file="lists/anet_val_video.txt",
        prefix="videos",
        names=class_names.of("activitynet"),
    )
    assert source.id(0) == str(tmp_path / "videos/v_b.mkv")
    assert json.loads("".join((tmp_path / "lists/anet_anno_val.json").read_text())) == {
        "v_b": {"duration_second": 1.0, "annotations": [SEGMENT]}
    }
    fakes.frames(tmp_path / "rawframes", ["v_a", "v_b"], "img_{:05}.jpg")
    lists = written("activitynet/videos", tmp_path, "--rawframes", str(tmp_path / "rawframes"))
    assert lists["anet_train_video.txt"] == [f"v_a 5 {SURFING}"]
    assert lists["anet_train_clip.txt"] == [f"v_a 1 4 {SURFING}"]  # frames 1 to 4 of 5


def test_hacs(tmp_path):
    fakes.features(tmp_path / "slowonly_feature", "v_a", "v_b")
    subsets = {"a": "training", "b": "validation", "c": "testing"}
    fakes.official(tmp_path / "HACS_v1.1.1/HACS_segments_v1.1.1.json", subsets)
    lists = written("hacs/features", tmp_path)
    assert sorted(lists) == ["hacs_anno_train.json", "hacs_anno_val.json"]
    (video,) = json.loads((tmp_path / "lists/hacs_anno_train.json").read_text()).values()
    assert (video["duration_frame"], video["feature_frame"]) == (30, 30)
    assert (tmp_path / "lists/slowonly_feature/v_a.csv").is_file()
    fakes.videos(tmp_path / "data/Surfing", ["v_a.mp4"])
    fakes.videos(tmp_path / "data/Cricket", ["v_b.mp4"])
    assert listed("hacs/videos", tmp_path)["val"] == [("Cricket/v_b.mp4", (SURFING,))]


def test_thumos14(tmp_path):
    names = class_names.of("thumos14")
    for subset in ("val", "test"):
        for name in (*names, "Ambiguous"):
            fakes.text(tmp_path / f"annotations_{subset}/{name}_{subset}.txt")
    one, two = "video_validation_0000051", "video_test_0000004"
    fakes.text(tmp_path / "annotations_val/Diving_val.txt", f"{one}  0.2 0.5")
    fakes.text(tmp_path / "annotations_val/CliffDiving_val.txt", f"{one}  0.2 0.5")
    fakes.text(tmp_path / "annotations_val/Ambiguous_val.txt", f"{one}  0.6 0.7")
    fakes.text(tmp_path / "annotations_test/Billiards_test.txt", f"{two}  0.0 1.0")
    fakes.videos(tmp_path / "videos", [f"val/{one}.mp4", f"test/{two}.mp4"])
    assert listed("thumos14/videos", tmp_path) == {
        "train": [(f"val/{one}.mp4", (4, 7))],
        "val": [(f"test/{two}.mp4", (2,))],
    }
    written("thumos14/videos", tmp_path)
    (video,) = json.loads((tmp_path / "lists/thumos14_anno_train.json").read_text()).values()
    assert video["duration_second"] == 1.0 and len(video["annotations"]) == 2
    fakes.text(tmp_path / "annotations_test/Billiards_test.txt", f"{two}  0.0")
    with pytest.raises(UserError, match=r'Billiards_test\.txt:1: expected "video start end"'):
        listed("thumos14/videos", tmp_path)
    with pytest.raises(UserError, match=r"no annotations/thumos14\.json"):
        (tmp_path / "i3d_features").mkdir()
        listed("thumos14/features", tmp_path)
    database = {v: {"duration": 9, "annotations": []} for v in (one, two)}
    database[one] |= {"subset": "Validation"}
    database[two] |= {"subset": "Test", "annotations": [SEGMENT | {"label": "Shotput"}]}
    fakes.json_text(tmp_path / "annotations/thumos14.json", {"database": database})
    assert listed("thumos14/features", tmp_path)["val"] == [(f"{two}.csv", (15,))]


def test_a_database_without_what_it_needs(tmp_path):
    (tmp_path / "videos").mkdir()
    path = tmp_path / "HACS_segments_v1.1.1.json"
    for content, message in (
        ([], 'there is no "database" of videos in it'),
        ({"database": {"a": {"subset": "training"}}}, 'video "a" has no "duration"'),
    ):
        fakes.json_text(path, content)
        with pytest.raises(UserError, match=rf"^{path}: {message}"):
            listed("hacs/videos", tmp_path)


# Boxes


def test_ava(tmp_path):
    fakes.ava(tmp_path)
    assert listed("ava/v22", tmp_path) == {
        "train": [("m1.mp4", (79, 8)), ("gone.mp4", (8,))],
        "val": [("m2.mkv", (11,))],
    }
    lists = written("ava/v22", tmp_path)
    assert lists["ava_train_v2.2.csv"] == [
        "m1,0902,0.077,0.151,0.283,0.811,80,1",
        "m1,0903,0.1,0.2,0.3,0.4,9,1",
    ]
    options = dict(prefix="videos_15min", start=900.0, num_classes=80)
    options |= dict(exclude="lists/annotations/ava_train_excluded_timestamps_v2.2.csv")
    source = ava.build(
        "train", root=str(tmp_path), file="lists/annotations/ava_train_v2.2.csv", **options
    )
    assert [source.id(i) for i in range(len(source))] == ["m1,0902"]
    assert stored("ava/v21", tmp_path) == {"train": 1, "val": 1}
    fakes.text(tmp_path / "annotations/ava_val_v2.1.csv", "m2,0902,0.1,0.2,0.3,0.4,81,0")
    with pytest.raises(UserError, match=r'_v2\.1\.csv: class "81" of m2,0902 is outside 1\.\.80'):
        listed("ava/v21", tmp_path)


def test_lists_beside_the_archives_are_not_replaced(tmp_path):
    from data_prep import lists

    fakes.ava(tmp_path)
    before = (tmp_path / "annotations/ava_train_v2.1.csv").read_text()
    lists.main(["ava/v21", "--source", str(tmp_path), "--out", str(tmp_path)])
    assert (tmp_path / "annotations/ava_train_v2.1.csv").read_text() == before


def test_ava_kinetics(tmp_path):
    fakes.ava(tmp_path)
    rows = ["x_y,12.5,0.1,0.2,0.3,0.4,80", "x_y,99", "far,50.0,0.1,0.2,0.3,0.4,1"]
    fakes.text(tmp_path / "annotations/kinetics_train_v1.0.csv", *rows)
    fakes.videos(
        tmp_path / "kinetics/some class", ["x_y_000010_000020.mp4", "x_y_000090_000099.mp4"]
    )
    fakes.videos(tmp_path / "kinetics", ["far_000000_000010.mp4"])
    found = listed("avakinetics", tmp_path)
    assert found["train"][:2] == [
        ("some class/x_y_000010_000020.mp4", (79,)),
        ("far at 50.0 s", ()),
    ]
    assert written("avakinetics", tmp_path)["ava_train_v2.2.csv"] == [
        "m1,0902,0.077,0.151,0.283,0.811,80,1",
        "m1,0903,0.1,0.2,0.3,0.4,9,1",
        "x_y_000010_000020,12,0.1,0.2,0.3,0.4,80,-1",
    ]


TUBES = [
    ("multisports", "annotations/multisports_GT.pkl", "trainval", ".mp4", "multisports"),
    ("ucf24", "UCF101v2-GT.pkl", "UCF-101", ".avi", "ucf24"),
    ("jhmdb/split2", "JHMDB-GT.pkl", "ReCompress_Videos", ".avi", "jhmdb_split2"),
]


@pytest.mark.parametrize("name,file,folder,ending,stem", TUBES)
def test_tubes(tmp_path, name, file, folder, ending, stem):
    names = class_names.of(name.partition("/")[0])
    fakes.tubes(tmp_path / file, names, tmp_path / folder, ending)
    second = [(f"c/gone{ending}", (0,))] * name.endswith("split2")
    assert listed(name, tmp_path) == {
        "train": [(f"c/a{ending}", (3,)), *second],
        "val": [(f"d/b{ending}", (0,))],
    }
    lists = written(name, tmp_path)
    assert lists[f"{stem}_train.csv"] == [
        f"c/a{ending},1,0.25,0.25,0.5,0.5,3,0",
        f"c/a{ending},2,0,0,1,0.5,3,0",
    ]
    assert lists[f"{stem}_val_videos.txt"] == [f"d/b{ending} 0"]
    if name == "multisports":  # what the csv says is what the pickle says
        source = multisports.build(
            "val", root=str(tmp_path / "lists"), file=file, prefix="trainval", proposals="true"
        )
        table = ava.build(
            "train",
            root=str(tmp_path / "lists"),
            file="annotations/multisports_val.csv",
            prefix="trainval",
            fps=1,
            first_class=0,
            names=names,
        )
        assert [source.id(i) for i in range(2)] == [table.id(i) for i in range(2)]
        np.testing.assert_allclose(source[1]["boxes"][:1], table[1]["boxes"])


# Captions


def test_msrvtt(tmp_path):
    fakes.msrvtt(tmp_path)
    pairs = ["msrvtt_ret_test1k.json", "msrvtt_ret_train9k.json"]
    assert sorted(written("msrvtt/9k", tmp_path)) == [*pairs, "test_JSFUSION.json", "train_9k.json"]
    folder = tmp_path / "lists/annotations"
    assert json.loads((folder / pairs[1]).read_text()) == [
        {"video": "video0.mp4", "caption": caption} for caption in ("a", "b c")
    ]
    assert (tmp_path / "lists/videos_2fps_224/video7.mp4").is_file()
    root = str(tmp_path / "lists")
    train = video_text.build("train", root=root, file="train_9k.json", prefix="videos")
    assert [sample["captions"] for sample in train] == [("a",), ("b c",)]
    test = video_text.build("val", root=root, file="test_JSFUSION.json", prefix="videos")
    assert (test.paths, test[0]["captions"]) == ((f"{root}/videos/video7.mp4",), ("x, y",))
    with pytest.raises(UserError, match=r'no caption of "video1", which is in .*7k\.csv'):
        listed("msrvtt/7k", tmp_path)


def test_msvd(tmp_path):
    captions = {v: [["a", "man"], ["sings"]] for v in ("x_1_2", "y_1_2", "z_1_2")}
    (tmp_path / "msvd_data").mkdir()
    (tmp_path / "msvd_data/raw-captions.pkl").write_bytes(pickle.dumps(captions))
    for split, video in zip(("train", "val", "test"), captions, strict=True):
        fakes.text(tmp_path / f"msvd_data/{split}_list.txt", video)
    fakes.videos(tmp_path / "YouTubeClips", [f"{video}.avi" for video in captions])
    written("msvd", tmp_path)
    found = json.loads((tmp_path / "lists/test.json").read_text())
    assert found == {"z_1_2.avi": ["a man", "sings"]}
    assert stored("msvd", tmp_path) == {"train": 1, "val": 1, "test": 1}
    (record,) = records("msvd", tmp_path, "val")
    assert json.loads(record["annotation"]) == {"captions": ["a man", "sings"]}


def test_charades(tmp_path):
    fakes.charades(tmp_path)
    lists = written("charades", tmp_path)
    assert lists["Charades_sta_train.txt"] == ["AO8RW 0.0 6.9##a person opens a door."]
    assert lists["Charades_sta_test.txt"] == ["3MSZA 24.3 30.4##a person opens it."]
    assert json.loads(lists["Charades_duration.json"][0]) == {"AO8RW": 33.67, "3MSZA": 30.96}
    fakes.text(tmp_path / "charades_sta_test.txt", "3MSZA 24.3##person turn a light on.")
    with pytest.raises(UserError, match=r"sta_test\.txt:1: expected \"VIDEO START END##SENTENCE"):
        listed("charades", tmp_path)
