"""Fake archives: what the real ones unpack to, with a few clips of five gray frames each.

The gray level of a clip tells it from the others after it went through a build.
"""

import json
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from data_prep import build, lists
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


# What comes of them


def listed(name: str, raw: Path) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    """{split: [(path, labels)]} in the order of the annotations."""
    made = build.builder(name, raw / "data")
    return {s: [(c.path, c.labels) for c in clips] for s, clips in made.clips(raw).items()}


def written(name: str, raw: Path, *more: str) -> dict[str, list[str]]:
    """The lines of the lists, sorted: they are in the order of the built data set.

    Not of class names, which lie beside some lists.
    """
    out = raw / "lists"
    lists.main([name, "--source", str(raw), "--out", str(out), *more])
    paths = (path for path in sorted(out.rglob("*.*")) if not path.name.startswith("label_map"))
    return {path.name: sorted(path.read_text().splitlines()) for path in paths}


def stored(name: str, raw: Path) -> dict[str, int]:
    """How many clips each split has once built."""
    build.main([name, "--data-dir", str(raw / "data"), "--source", str(raw)])
    made = build.builder(name, raw / "data")
    return {split: info.num_examples for split, info in made.info.splits.items()}
