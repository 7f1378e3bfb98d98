"""Fake archives: what the real ones unpack to, with a few clips of five gray frames each.

The gray level of a clip tells it from the others after it went through a build.
"""

import json
import pickle
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from data_prep import build, lists
from jaxvid import class_names
from jaxvid.data.video.encode import write_video

FRAMES = 5


@cache
def encoded(level: int, ending: str) -> bytes:
    """A video file of gray frames."""
    codec = "libvpx" if ending == ".webm" else "mpeg4"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"clip{ending}")
        write_video(path, np.full((FRAMES, 16, 16, 3), level, np.uint8), 5, codec)
        return path.read_bytes()


def level(path: str) -> int:
    """The gray level of the clip of that name: 16 to 235 in steps that survive encoding."""
    return 16 + sum(path.encode()) % 22 * 10


def videos(folder: Path, paths: Iterable[str]) -> None:
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(level(path), file.suffix))


def frames(folder: Path, paths: Iterable[str], template: str = "{:05}.jpg") -> None:
    for path in paths:
        (folder / path).mkdir(parents=True)
        for number in range(1, FRAMES + 1):
            image = np.full((16, 16, 3), (level(path), 20 * number, 255), np.uint8)
            cv2.imwrite(str(folder / path / template.format(number)), image)


def text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def json_text(path: Path, content: object) -> None:
    text(path, json.dumps(content))


def ucf101(root: Path, train: Sequence[str], val: Sequence[str]) -> None:
    """UCF101's archives, with these videos in all three splits."""
    videos(root / "UCF-101", [*train, *val])
    for number in (1, 2, 3):
        folder = root / "ucfTrainTestlist"
        text(folder / f"trainlist0{number}.txt", *(f"{path} 1" for path in train))
        text(folder / f"testlist0{number}.txt", *val)


def ucf101_clips(classes: Sequence[str], groups: Iterable[int]) -> list[str]:
    return [f"{name}/v_{name}_g{group:02}_c01.avi" for name in classes for group in groups]


# Segments, boxes and captions

SEGMENT = {"segment": [0.2, 0.8], "label": "Surfing"}


def official(path: Path, videos: dict[str, str]) -> None:
    """A file in ActivityNet's format: videos of one second, with these subsets."""
    about = {"duration": 1.0, "url": "x", "resolution": "16x16", "annotations": [SEGMENT]}
    database = {name: about | {"subset": subset} for name, subset in videos.items()}
    json_text(path, {"version": "1", "taxonomy": [], "database": database})


def features(folder: Path, *names: str) -> None:
    for name in names:
        text(folder / f"{name}.csv", "f0,f1", "0.5,1", "0.5,1")


def activitynet(raw: Path) -> dict[str, dict]:
    """Features of v_a for training and of v_b for validation; those of v_c are missing."""
    for folder in ("activitynet_feature_cuhk/csv_mean_100", "slowonly_k700_feature"):
        features(raw / folder, "v_a", "v_b")
    (raw / "tsp_features").mkdir()
    for name in ("v_a", "v_b"):
        np.save(raw / f"tsp_features/{name}.npy", np.zeros((2, 512), np.float32))
    about = {"duration_second": 1, "duration_frame": 30, "feature_frame": 24}
    videos = {v: about | {"annotations": [SEGMENT]} for v in ("v_a", "v_b", "v_c")}
    json_text(raw / "anet_anno_action.json", videos)
    header = "video,numFrame,seconds,fps,rfps,subset,featureFrame"
    rows = [f"v_{v},30,1,30,30,{s},24" for v, s in (("a", "training"), ("b", "validation"))]
    text(raw / "video_info_new.csv", header, *rows, "v_c,30,1,30,30,training,24")
    return videos


def ava(raw: Path) -> None:
    """Both editions, with a movie and its frames in each split; one movie is missing."""
    folder, box = raw / "annotations", np.array([[0.1, 0.2, 0.3, 0.4, 0.9]])
    for edition in ("v2.1", "v2.2"):
        text(
            folder / f"ava_train_{edition}.csv",
            "m1,0902,0.077,0.151,0.283,0.811,80,1",
            "m1,0903,0.1,0.2,0.3,0.4,9,1",
            "gone,0902,0.1,0.2,0.3,0.4,9,1",
        )
        text(folder / f"ava_val_{edition}.csv", "m2,0902,0.1,0.2,0.3,0.4,12,0")
        for split in ("train", "val"):
            text(folder / f"ava_{split}_excluded_timestamps_{edition}.csv", "m1,0903")
    videos(raw / "videos_15min", ["m1.mp4", "m2.mkv"])
    frames(raw / "rawframes", ["m1", "m2"], "img_{:05}.jpg")
    for split, key in (("train", "m1,0902"), ("val", "m2,0902")):
        path = folder / f"ava_dense_proposals_{split}.FAIR.recall_93.9.pkl"
        path.write_bytes(pickle.dumps({key: box}))


def tubes(path: Path, names: Sequence[str], folder: Path, ending: str) -> None:
    """Tubes of two frames, one in c/a and two in d/b; c/gone is in the second split only."""
    tube = np.array([[1, 4, 4, 8, 8], [2, 0, 0, 16, 8]], np.float32)
    content = {
        "labels": list(names),
        "train_videos": [["c/a"], ["c/a", "c/gone"]],
        "test_videos": [["d/b"]] * 2,
        "nframes": dict.fromkeys(("c/a", "d/b"), 5),
        "gttubes": {"c/a": {3: [tube]}, "d/b": {0: [tube, tube]}, "c/gone": {0: [tube]}},
        "resolution": dict.fromkeys(("c/a", "d/b", "c/gone"), (16, 16)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    videos(folder, [f"c/a{ending}", f"d/b{ending}"])


def avakinetics(raw: Path) -> None:
    """A clip of Kinetics beside AVA's movies."""
    ava(raw)
    stem = "aaaaa_aaaaa_000010_000020"
    text(raw / "annotations/kinetics_train_v1.0.csv", f"{stem[:11]},12.5,0.1,0.2,0.3,0.4,80")
    videos(raw / "kinetics/some class", [f"{stem}.mp4"])
    frames(raw / "rawframes", [stem], "img_{:05}.jpg")


def thumos14(raw: Path) -> None:
    """Features of a video of each set, with the json of ActionFormer's authors."""
    database = {}
    (raw / "i3d_features").mkdir(parents=True)
    for name, subset in (("video_validation_1", "Validation"), ("video_test_1", "Test")):
        np.save(raw / f"i3d_features/{name}.npy", np.zeros((9, 2048), np.float32))
        segments = [{"segment": [1.0, 2.5], "label": "Shotput", "label_id": 15}]
        database[name] = {"subset": subset, "duration": 9.0, "fps": 30.0, "annotations": segments}
    json_text(raw / "annotations/thumos14.json", {"version": "x", "database": database})


def frames_of_tubes(raw: Path, pickle: str, name: str, folder: str, template: str) -> None:
    """The pickle of ACT's authors, frames of its videos, and proposals."""
    tubes(raw / pickle, class_names.of(name), raw / "videos", ".avi")
    frames(raw / folder, ["c/a", "d/b"], template)
    for split, video in (("train", "c/a"), ("val", "d/b")):
        boxes = {f"{video},{frame:04}": [[0.1, 0.2, 0.3, 0.4, 0.9]] for frame in range(1, 6)}
        json_text(raw / f"proposals_{split}.json", boxes)


def ucf24(raw: Path) -> None:
    frames_of_tubes(raw, "UCF101v2-GT.pkl", "ucf24", "rgb-images", "{:05}.jpg")


def jhmdb(raw: Path) -> None:
    frames_of_tubes(raw, "JHMDB-GT.pkl", "jhmdb", "Frames", "{:05}.png")


def multisports(raw: Path) -> None:
    folder, box = raw / "annotations", np.array([[0.1, 0.2, 0.3, 0.4, 0.9]])
    names = class_names.of("multisports")
    tubes(folder / "multisports_GT.pkl", names, raw / "trainval", ".mp4")
    for split, video in (("train", "c/a"), ("val", "d/b")):
        boxes = {f"{video}.mp4,{frame:04}": box for frame in (1, 2)}
        path = folder / f"multisports_proposals_{split}.pkl"
        path.write_bytes(pickle.dumps(boxes))


def charades(raw: Path) -> None:
    """A sentence in each split, with the files of DRN's authors."""
    text(raw / "charades_sta_train.txt", "AO8RW 0.0 6.9##a person opens a door.")
    text(raw / "charades_sta_test.txt", "3MSZA 24.3 30.4##a person opens it.")
    for split, row in (("train", "AO8RW,33.67"), ("test", "3MSZA,30.96")):
        text(raw / f"Charades_v1_{split}.csv", "id,length", row)
    clips = ["AO8RW", "3MSZA"]
    videos(raw / "Charades_v1_480", [f"{clip}.mp4" for clip in clips])
    json_text(raw / "Charades_frames_info.json", dict.fromkeys(clips, 900))
    json_text(raw / "Charades_word2id.json", {"person": 1, "opens": 2, "a": 3})
    (raw / "C3D_unit16_overlap0.5_merged").mkdir()
    for clip in clips:
        np.save(raw / f"C3D_unit16_overlap0.5_merged/{clip}.npy", np.zeros((2, 4096), np.float32))


def msrvtt(raw: Path) -> None:
    sentences = [{"video_id": "video0", "caption": c} for c in ("a", "b c")]
    sentences += [{"video_id": "video7", "caption": "other"}]
    folder = raw / "msrvtt_data"
    json_text(folder / "MSRVTT_data.json", {"videos": [], "sentences": sentences})
    text(folder / "MSRVTT_train.9k.csv", "video_id", "video0")
    text(folder / "MSRVTT_train.7k.csv", "video_id", "video1")
    header = "key,vid_key,video_id,sentence"
    text(folder / "MSRVTT_JSFUSION_test.csv", header, 'ret0,msr7,video7,"x, y"')
    videos(raw / "videos", ["video0.mp4", "video7.mp4"])


# What comes of them


def listed(name: str, raw: Path) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    """{split: [(path, labels)]} in the order of the annotations."""
    made = build.builder(name, raw / "data")
    return {s: [(c.path, c.labels) for c in clips] for s, clips in made.clips(raw).items()}


def written(name: str, raw: Path, *more: str) -> dict[str, list[str]]:
    """The lines of the lists, sorted: they are in the order of the built data set.

    Not of class names and links to published files, which lie beside some lists.
    """
    out = raw / "lists"
    lists.main([name, "--source", str(raw), "--out", str(out), *more])
    paths = (path for path in sorted(out.rglob("*.*")) if not path.is_symlink())
    paths = (path for path in paths if not path.name.startswith("label_map"))
    return {path.name: sorted(path.read_text().splitlines()) for path in paths}


def stored(name: str, raw: Path) -> dict[str, int]:
    """How many clips each split has once built."""
    build.main([name, "--data-dir", str(raw / "data"), "--source", str(raw)])
    made = build.builder(name, raw / "data")
    return {split: info.num_examples for split, info in made.info.splits.items()}
