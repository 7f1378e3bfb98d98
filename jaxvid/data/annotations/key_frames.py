"""Key frames: moments of videos, with the boxes of the people in them and what they do.

A key frame has true boxes, each with one 0/1 a class, and proposals: boxes in which a detector
found people. Both are shares of the frame's width and height, 0..1.

Shapes: n key frames, v videos, k boxes of all key frames, c classes.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxvid.data.sample import Sample, Source
from jaxvid.data.video import video_files
from jaxvid.errors import UserError

TOLERANCE = 0.01  # boxes may reach so far beyond the frame: annotations are rounded


class Key(NamedTuple):
    """What names a key frame: its video, and the time in the units of the annotations."""

    video: str
    time: float

    def __str__(self) -> str:
        time = f"{int(self.time):04d}" if self.time == int(self.time) else f"{self.time:g}"
        return f"{self.video},{time}"


@dataclass(frozen=True)
class Boxes:
    """Boxes float32 (k, 4) of all key frames, one after the other, and where those of each end."""

    all: np.ndarray
    ends: np.ndarray

    def of(self, row: int) -> slice:
        """The place of those of one key frame."""
        return slice(self.ends[row - 1] if row else 0, self.ends[row])


def flat(boxes: Sequence[np.ndarray]) -> Boxes:
    """(k, 4) of each key frame -> Boxes."""
    joined = np.concatenate([np.zeros((0, 4)), *boxes]).astype(np.float32)
    return Boxes(joined, np.cumsum([len(b) for b in boxes], dtype=np.int64))


@dataclass(frozen=True, repr=False)
class KeyFrames(Source):
    """The key frames of one split, a sample each.

    Attributes:
      videos, files: names as the annotations have them, and the file or folder of frames of each.
      video: int (n,), the video of each key frame.
      time: float (n,), in the units of the annotations.
      start: the time at which the files begin.
      true_boxes: the true boxes.
      box_label: uint8 (k, c), 0/1.
      proposals: those of a detector.
      names: class names by label; may be empty.
      origin: the file of the annotations.
      lines: the line of each key frame in it; empty when that has no lines.
      fps: frames per unit of time: that of folders of frames, or 1 where times count frames; 0 for
        seconds of videos, which have timestamps.
      template: of the names of frames, where videos are folders.
      excluded: int32 (c,), true boxes at times that are left out, which AVA counts all the same.
      tube: int32 (k,), what a true box is a part of, numbered over all videos.
    """

    videos: tuple[str, ...]
    files: tuple[str, ...]
    video: np.ndarray
    time: np.ndarray
    start: float
    true_boxes: Boxes
    box_label: np.ndarray
    proposals: Boxes
    names: tuple[str, ...] = ()
    origin: str = ""
    lines: tuple[int, ...] = ()
    fps: float = 0.0
    template: str = ""
    excluded: np.ndarray | None = None
    tube: np.ndarray | None = None
    labels: np.ndarray = field(init=False)

    def __post_init__(self):
        starts = np.concatenate([[0], self.true_boxes.ends])[: len(self.video)]
        labels = np.maximum.reduceat(self.box_label, starts) if len(starts) else self.box_label
        object.__setattr__(self, "labels", labels)

    def __getitem__(self, index: int) -> Sample:
        own = self.true_boxes.of(index)
        sample: Sample = {
            "path": self.files[self.video[index]],
            "clip": np.int32(self.video[index]),
            "time": np.float32(self.time[index] - self.start),
            "boxes": self.true_boxes.all[own],
            "box_label": self.box_label[own],
            "proposals": self.proposals.all[self.proposals.of(index)],
        }
        if self.fps:
            sample["fps"] = self.fps
        if self.template:
            sample["template"] = self.template
        if self.excluded is not None:  # all with the first: metrics add them up
            sample["excluded"] = self.excluded * np.int32(index == 0)
        if self.tube is not None:
            sample["tube"] = self.tube[own]
        return sample

    def key(self, index: int) -> Key:
        return Key(self.videos[self.video[index]], float(self.time[index]))

    def id(self, index: int) -> str:
        return str(self.key(index))

    def where(self, index: int) -> str:
        line = f"{self.lines[index]}" if self.lines else f" {self.id(index)}"
        return f"{self.origin}:{line}"


def find_files(folder: Path, videos: Iterable[str], suffix: str = "") -> tuple[str, ...]:
    """The files of videos that are named with or without their endings, which may differ."""

    @cache
    def by_stem(parent: Path) -> dict[str, str]:
        names = sorted(os.listdir(parent)) if parent.is_dir() else []
        names.sort(key=video_files.has_ending)  # videos last: they win
        return {os.path.splitext(name)[0]: name for name in names} | {n: n for n in names}

    def file(video):
        path = folder / (video + suffix)
        return str(path.parent / by_stem(path.parent).get(path.name, path.name))

    return tuple(map(file, videos))


def check_boxes(
    boxes: np.ndarray, where: Callable[[int], str], tolerance: float = TOLERANCE
) -> None:
    """Whether boxes (k, 4) lie within the frame, their corners in order.

    Args:
      where: where box i is from, for the message.
      tolerance: how far boxes may reach beyond the frame, as a share of it.

    Raises:
      UserError: names the first that is not so.
    """

    def say(i, what):
        box = " ".join(f"{value:g}" for value in boxes[i])
        raise UserError(f"{where(i)}: box {box} {what}")

    outside = ~((boxes >= -tolerance) & (boxes <= 1 + tolerance)).all(1)
    for i in np.flatnonzero(outside).tolist():
        pixels = "; these look like pixels: divide by width and height"
        hint = pixels if np.abs(boxes[i]).max() > 2 else ""
        say(i, f"is outside 0..1: corners are shares of the frame{hint}")
    for i in np.flatnonzero((boxes[:, 2:] < boxes[:, :2]).any(1)).tolist():
        say(i, "has swapped corners: it is x1 y1 x2 y2, from the upper left to the lower right")
