"""Key frames: annotated frames of videos, with the boxes and actions of the people in them.

A key frame has annotated boxes, with 0 or 1 for each class, and proposals, which are boxes of a
person detector. All coordinates are shares of the width and height of the frame, from 0 to 1.

Shape letters: n key frames, v videos, k boxes of all key frames, c classes.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvid.data.annotations.feature_bank import Bank
from jaxvid.data.sample import Sample, Source
from jaxvid.data.video import video_files
from jaxvid.errors import UserError
from jaxvid.log import warn_once

logger = logging.getLogger(__name__)

TOLERANCE = 0.01  # share of the frame by which rounded boxes may reach beyond it


class Key(NamedTuple):
    """The name of a key frame: its video, and its time in the units of the annotations."""

    video: str
    time: float

    def __str__(self) -> str:
        time = f"{int(self.time):04d}" if self.time == int(self.time) else f"{self.time:g}"
        return f"{self.video},{time}"


@dataclass(frozen=True)
class Boxes:
    """The boxes of all key frames.

    Attributes:
      all: float32 (k, 4), boxes in the order of the key frames.
      ends: int64 (n,), end of the boxes of each key frame in `all`.
    """

    all: np.ndarray
    ends: np.ndarray

    def of(self, row: int) -> slice:
        """Return the slice of `all` with the boxes of key frame `row`."""
        return slice(self.ends[row - 1] if row else 0, self.ends[row])


def flat(boxes: Sequence[np.ndarray]) -> Boxes:
    """Join the boxes of each key frame, arrays (boxes, 4)."""
    joined = np.concatenate([np.zeros((0, 4)), *boxes]).astype(np.float32)
    return Boxes(joined, np.cumsum([len(b) for b in boxes], dtype=np.int64))


@dataclass(frozen=True, repr=False)
class KeyFrames(Source):
    """The key frames of one split. Each key frame is a sample.

    Attributes:
      videos: names of the videos in the annotations.
      files: the file or folder of frames of each video.
      video: int (n,), number of the video of each key frame.
      time: float (n,), time of each key frame in the units of the annotations.
      start: time at which the video files begin, of all or of each (v,).
      true_boxes: the annotated boxes.
      box_label: uint8 (k, c), 0 or 1 for each annotated box and class.
      proposals: the boxes of a detector.
      names: class names by label; may be empty.
      origin: the file of the annotations.
      lines: line of each key frame in `origin`; empty if `origin` has no lines.
      fps: frames per unit of time for folders of frames; 1 if times are frame numbers; 0 for video
        files, whose times are in seconds.
      template: pattern of the file names of frames, if videos are folders.
      excluded: int32 (c,), annotated boxes of each class in key frames that are left out. AVA still
        counts them.
      tube: int32 (k,), number of the tube of each annotated box, over all videos.
      bank: features of people at all times of the videos.
      made_from: the files of the annotations and of the proposals.
    """

    videos: tuple[str, ...]
    files: tuple[str, ...]
    video: np.ndarray
    time: np.ndarray
    start: float | np.ndarray
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
    bank: Bank | None = None
    made_from: tuple[Path, ...] = ()
    labels: np.ndarray = field(init=False)
    about: Mapping[str, Any] = field(init=False)

    def __post_init__(self):
        starts = np.concatenate([[0], self.true_boxes.ends])[: len(self.video)]
        labels = np.zeros((len(self.video), self.box_label.shape[1]), self.box_label.dtype)
        some = self.true_boxes.ends > starts  # key frames can be without a box
        if some.any():
            labels[some] = np.maximum.reduceat(self.box_label, starts[some].astype(int))
        object.__setattr__(self, "labels", labels)
        about = {"bank": dict(self.bank.made)} if self.bank else {}
        object.__setattr__(self, "about", about)

    def __getitem__(self, index: int) -> Sample:
        own, video = self.true_boxes.of(index), self.video[index]
        start = np.broadcast_to(self.start, len(self.videos))[video]
        sample: Sample = {
            "path": self.files[video],
            "clip": np.int32(video),
            "time": np.float32(self.time[index] - start),
            "boxes": self.true_boxes.all[own],
            "box_label": self.box_label[own],
            "proposals": self.proposals.all[self.proposals.of(index)],
        }
        if self.fps:
            sample["fps"] = self.fps
        if self.template:
            sample["template"] = self.template
        if self.excluded is not None:  # the first sample has all counts, because metrics add them
            sample["excluded"] = self.excluded * np.int32(index == 0)
        if self.tube is not None:
            sample["tube"] = self.tube[own]
        if self.bank:
            sample["bank"] = self.bank.around(*self.key(index))
        return sample

    def key(self, index: int) -> Key:
        """Return the name of a key frame."""
        return Key(self.videos[self.video[index]], float(self.time[index]))

    def id(self, index: int) -> str:
        return str(self.key(index))

    def where(self, index: int) -> str:
        line = f"{self.lines[index]}" if self.lines else f" {self.id(index)}"
        return f"{self.origin}:{line}"


def find_files(folder: Path, videos: Iterable[str], suffix: str = "") -> tuple[str, ...]:
    """Return the files of videos. Their names can lack the file extension, or have another one."""

    @cache
    def by_stem(parent: Path) -> dict[str, str]:
        names = sorted(os.listdir(parent)) if parent.is_dir() else []
        names.sort(key=video_files.has_ending)  # videos last, so that they replace other files
        return {os.path.splitext(name)[0]: name for name in names} | {n: n for n in names}

    def file(video):
        path = folder / (video + suffix)
        return str(path.parent / by_stem(path.parent).get(path.name, path.name))

    return tuple(map(file, videos))


def check_boxes(
    boxes: np.ndarray, where: Callable[[int], str], tolerance: float = TOLERANCE
) -> None:
    """Check that boxes (k, 4) are inside the frame and their corners are in order.

    A warning counts boxes without an area, which contain nothing to recognize.

    Args:
      boxes: x1, y1, x2, y2 as shares of the frame.
      where: function that returns the origin of box i, for the message.
      tolerance: share of the frame by which boxes may reach beyond it.

    Raises:
      UserError: a box is invalid; the message has the first one.
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
    lines = np.flatnonzero((boxes[:, 2:] == boxes[:, :2]).any(1)).tolist()
    if lines:
        warn_once(
            logger,
            f"{where(lines[0])}: this box has no area, as {len(lines):,} of {len(boxes):,} boxes"
            " there; correct or remove them",
        )
