"""Built data sets as a source: what comes back, in which order and class, and what can be wrong."""

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_prep import build
from jaxvid import class_names
from jaxvid.data import dataset
from jaxvid.data.loading import loader
from jaxvid.data.recipes import clip
from jaxvid.data.sources import tfds, video_list
from jaxvid.data.transforms.video import Open
from jaxvid.data.video.decode import VideoError
from jaxvid.data.video.readers import FrameFolder, read_image
from jaxvid.errors import UserError
from tests.data_prep import fakes

CLASSES = ("ApplyEyeMakeup", "Archery", "YoYo")
NAME = "ucf101/split1"


def make(name: str, raw: Path) -> str:
    """Builds what is in `raw`; returns the root of the source."""
    build.main([name, "--data-dir", str(raw / "data"), "--source", str(raw)])
    return str(raw / "data")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    raw = tmp_path_factory.mktemp("ucf101")
    clips = [fakes.ucf101_clips(CLASSES, groups) for groups in (range(8, 11), (1,))]
    fakes.ucf101(raw, *clips)
    return make(NAME, raw)


def read(root: str, split: str = "train", name: str = NAME, **options) -> Any:
    return tfds.build(split, root=root, dataset=name, **options)


def test_what_travels_to_a_worker_is_small(root):
    rows = read(root)
    rows[0]["reader"].read([0])  # open files stay here
    text = pickle.dumps(rows)
    assert len(text) < 3000
    copy = pickle.loads(text)
    assert [copy.id(i) for i in range(9)] == [rows.id(i) for i in range(9)]
    assert rows.where(0) == f'{root}/{NAME}/1.0.0: train record 0 ("{rows.id(0)}")'
    assert repr(rows) == f"Records({root}/{NAME}/1.0.0, train, 9)"


def test_nothing_is_read_before_it_is_needed(root, monkeypatch):
    """Checks before training look at every sample."""
    seen = []
    record = tfds.Records.record
    monkeypatch.setattr(tfds.Records, "record", lambda s, i: seen.append(i) or record(s, i))
    spec = dict(name="tfds", dataset=NAME)
    data = dataset.build(root=root, train=spec, val=spec, checks=("labels", "missing", "overlap"))
    assert data.num_classes == 101 and data.names[100] == "YoYo"
    reader = data.splits["train"][4]["reader"]
    reader.close()
    assert seen == []
    assert len(reader) == fakes.FRAMES and reader.fps == 5 and seen == [4]
    assert np.allclose(reader.times, [0, 0.2, 0.4, 0.6, 0.8]) and seen == [4]


def test_a_class_without_training_samples_is_found(root):
    spec = dict(name="tfds", dataset=NAME)
    with pytest.raises(UserError, match='class 1 "ApplyLipstick" has no training video'):
        dataset.build(root=root, train=spec, val=spec)


def test_messages_name_the_clip(root):
    rows = read(root)
    with (
        rows[2]["reader"] as reader,
        pytest.raises(VideoError, match=f"^{rows.id(2)}: there is no"),
    ):
        reader.read([5])


def test_batches_of_workers_are_those_of_this_process(root):
    rows = read(root)
    recipe = clip.build("train", frames=2, stride=1, size=8, short_side=8)
    found = []
    for workers in (0, 1):
        batches = loader.train_batches(rows, recipe, batch=3, seed=0, stop=3, workers=workers)
        found.append(list(batches))
    for one, two in zip(*found, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], two[key])
    for batch in found[0]:
        for index, label, video in zip(batch["index"], batch["label"], batch["video"], strict=True):
            assert label == rows.labels[index]
            assert abs(video.astype(int) - fakes.level(rows.id(index))).max() <= 4
    assert sorted(i for batch in found[0] for i in batch["index"]) == list(range(9))


# Class names


def test_classes_are_found_by_name(root):
    """As a checkpoint, or another part of a joined set, has them."""
    rows = read(root)
    backwards = tuple(reversed(rows.names))
    other = read(root, names=backwards)
    assert other.names == backwards
    assert other.labels.tolist() == (100 - rows.labels).tolist()
    assert [int(other[i]["label"]) for i in range(9)] == other.labels.tolist()
    more = read(root, names=("something else", *rows.names))
    assert more.labels.tolist() == (rows.labels + 1).tolist()


def test_a_class_that_is_not_among_those_known(root):
    names = ("ApplyEyeMakup", *read(root).names[1:])
    with pytest.raises(UserError, match=r'its class "ApplyEyeMakeup" .* mean "ApplyEyeMakup"'):
        read(root, names=names)


def test_two_classes_of_one_name(tmp_path):
    fakes.videos(tmp_path / "subactions", ["a.mp4", "b.mp4", "c.mp4"])
    fakes.text(tmp_path / "gym99_train_element_v1.1.txt", "a 58", "b 70", "c 0")
    fakes.text(tmp_path / "gym99_val_element.txt", "a 58")
    root = make("gym", tmp_path)
    rows = read(root, name="gym")
    assert {rows.id(i): int(rows.labels[i]) for i in range(3)} == {
        "a.mp4": 58,
        "b.mp4": 70,
        "c.mp4": 0,
    }
    assert (rows.names[58], rows.names[70]) == (
        "(BB) salto backward tucked",
        "(BB) salto backward tucked (2)",
    )
    published = read(root, name="gym", names=class_names.of("gym99"))
    assert published.labels.tolist() == rows.labels.tolist()


# Several labels


def test_multi_label_is_as_in_a_list(tmp_path):
    labels = {"a/1.mp4": (312, 0, 7), "a/2.mp4": (5,), "b/3.mp4": (0, 1, 2, 3), "b/4.mp4": ()}
    fakes.videos(tmp_path / "videos", labels)
    for name in ("training", "validation"):
        rows = (",".join([path, *map(str, numbers)]) for path, numbers in labels.items())
        fakes.text(tmp_path / f"{name}Set.csv", *rows)
    root = make("mmit", tmp_path)
    rows = read(root, name="mmit")
    text = (" ".join([p, *map(str, n)]) for p, n in labels.items() if n)
    fakes.text(tmp_path / "list.txt", *text)
    listed = video_list.build(
        "train", root=str(tmp_path), file="list.txt", multi_label=True, num_classes=313
    )
    expected = {
        Path(p).relative_to(tmp_path).as_posix(): row
        for p, row in zip(listed.paths, listed.labels, strict=True)
    }
    expected["b/4.mp4"] = np.zeros(313)
    assert len(rows.labels) == 4
    for i in range(4):
        np.testing.assert_array_equal(rows.labels[i], expected[rows.id(i)])
        np.testing.assert_array_equal(rows[i]["label"], expected[rows.id(i)])
        assert rows[i]["label"].dtype == np.int32


def test_categories_that_nobody_looked_at_are_masked(tmp_path):
    tags = {"x_000000_000010.mp4": "beach|doing_karate", "y_000000_000010.mp4": "crowd"}
    for split in ("Train", "Val"):
        rows = (f"{names},{path[0]},0,1" for path, names in tags.items())
        fakes.text(tmp_path / f"HVU_{split}_V1.0.csv", "Tags,youtube_id,time_start,time_end", *rows)
        fakes.videos(tmp_path / f"videos_{split.lower()}", tags)
    root = make("hvu", tmp_path)
    rows = read(root, name="hvu", category_mask=True)
    for i in range(2):
        sample = rows[i]
        present = {rows.names[j].split("/")[0] for j in np.flatnonzero(sample["label"])}
        assert len(present) == len(tags[rows.id(i)].split("|"))
        expected = [name.split("/")[0] in present for name in rows.names]
        assert sample["label_mask"].tolist() == expected
        assert sample["label_mask"].dtype == np.float32
    assert "label_mask" not in read(root, name="hvu")[0]


# Images


def test_folders_of_frames_come_back_as_videos(tmp_path):
    lists = tmp_path / "jester-v1"
    fakes.frames(tmp_path / "20bn-jester-v1", ["7", "8"])
    for name in ("train", "validation"):
        fakes.text(lists.with_name(f"jester-v1-{name}.csv"), "7;Swiping Left", "8;Drumming Fingers")
    rows = read(make("jester", tmp_path), name="jester")
    for i in range(2):
        with (
            rows[i]["reader"] as reader,
            FrameFolder(tmp_path / "20bn-jester-v1" / rows.id(i), "{:05}.jpg") as folder,
        ):
            wanted = [4, 0, 0, 3]
            np.testing.assert_array_equal(reader.read(wanted), folder.read(wanted))
            assert len(reader) == len(folder) and reader.fps == folder.fps
            assert reader.read([]).shape == (0, 16, 16, 3)
            with pytest.raises(VideoError, match=f"{rows.id(i)}: there is no frame 5"):
                reader.read([5])


def test_damaged_frames_are_named():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = cv2.imencode(".jpg", noise)[1].tobytes()
    other = cv2.imencode(".png", noise[:8])[1].tobytes()
    images = tfds.Images([whole, whole[: len(whole) // 2], b"text", other, whole], "a")
    assert images.read([0, 4]).shape == (2, 64, 64, 3)
    for index, reason in ((1, "is truncated"), (2, "is not an image"), (3, "has another size")):
        with pytest.raises(VideoError, match=f"a: frame {index} {reason}"):
            images.read([0, index])


def test_an_image_is_a_video_of_one_frame(tmp_path):
    image = "googleimage_200/000/00/000001.jpg"
    fakes.frames(tmp_path, ["googleimage_200/000/00"], "{:06}.jpg")
    fakes.text(tmp_path / "annotations/webimage_200/tsn_8seg_webimage_200_wodup.txt", f"{image} 3")
    rows = read(make("omnisource/webimage", tmp_path), name="omnisource/webimage")
    with rows[0]["reader"] as reader:
        np.testing.assert_array_equal(reader[:], read_image(str(tmp_path / image))[None])


def test_videos_and_images_are_resized_while_they_are_read(root, tmp_path):
    """As `Open(short_side)` does with files."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    jpeg = cv2.imencode(".jpg", noise)[1].tobytes()
    (image,) = tfds.Images([jpeg], "a", short_side=20)[:]
    whole = tfds.Images([jpeg], "a")[0]
    np.testing.assert_array_equal(image, cv2.resize(whole, (32, 20)))
    sample = Open(8)(read(root)[0], np.random.default_rng(0))
    with sample["reader"] as reader, read(root)[0]["reader"] as other:
        assert reader[:].shape == (5, 8, 8, 3) and other[:].shape == (5, 16, 16, 3)
        assert reader.path == other.path
        np.testing.assert_array_equal(reader[2], cv2.resize(other[2], (8, 8)))


# What is wrong


def test_a_video_that_cannot_be_read_is_named(tmp_path, said):
    clips = fakes.ucf101_clips(CLASSES, [8])
    fakes.ucf101(tmp_path, clips, clips)
    (tmp_path / "UCF-101" / clips[1]).write_bytes(b"no video at all")
    rows = read(make(NAME, tmp_path))
    (bad,) = (i for i in range(3) if rows.id(i) == clips[1])
    with pytest.raises(VideoError, match=rf"^{clips[1]}: "):
        len(rows[bad]["reader"])
    recipe = clip.build("val", frames=2, stride=1, size=8, short_side=8)
    batches = loader.eval_batches(rows, recipe, batch=3, workers=0)
    with pytest.raises(UserError, match=rf"{clips[1]}: .*\(listed in .* record {bad} "):
        list(batches)
    batches = loader.eval_batches(rows, recipe, batch=3, workers=0, on_error="skip")
    (batch,) = batches
    assert batch["mask"].sum() == 2 and clips[1] in said[0]


def test_what_is_not_there_is_an_error_with_a_hint(root, tmp_path):
    with pytest.raises(UserError, match=r"ucf101/split2: no such data set.*mean \"ucf101/split1\""):
        read(root, name="ucf101/split2")
    with pytest.raises(UserError, match=r"python -m data_prep\.build ssv2"):
        read(str(tmp_path), name="ssv2")
    with pytest.raises(UserError, match=r'no split "test"; set config\.data\.test\.subset'):
        read(root, "test")
    assert len(read(root, "test", subset="val")) == 3


def test_the_newest_version_that_is_whole(root, tmp_path):
    folder = tmp_path / NAME
    folder.mkdir(parents=True)
    for version in ("1.0.0", "1.2.0", "1.10.0", "incomplete.abc_2.0.0"):
        (folder / version).symlink_to(Path(root, NAME, "1.0.0"))
    assert read(str(tmp_path)).origin == str(folder / "1.10.0")
    assert read(str(tmp_path), name=f"{NAME}/1.2.0").origin == str(folder / "1.2.0")


def test_files_that_were_not_copied(root, tmp_path):
    folder = tmp_path / NAME / "1.0.0"
    folder.mkdir(parents=True)
    for path in Path(root, NAME, "1.0.0").iterdir():
        if "train.array_record" not in path.name:
            (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"train\.array_record-00000-of-00001: no such file"):
        read(str(tmp_path))
    assert len(read(str(tmp_path), "val")) == 3
