"""Annotations independent of a format: labels of videos, segments, and boxes in frames."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxvid.data.annotations.key_frames import TOLERANCE
from jaxvid.data.video.containers import VideoError
from jaxvid.data.video.decode import VideoReader
from jaxvid.errors import UserError

SLACK = 0.1  # seconds that a segment may end after its video, because durations are often rounded
KINDS = ("labels", "segments", "boxes")


@dataclass(frozen=True)
class Label:
    """The classes of a whole video."""

    video: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Segment:
    """A class from `start` to `end` in seconds."""

    video: str
    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Box:
    """A class and a box in the frame at `time` in seconds.

    Attributes:
      corners: x1, y1, x2, y2 as shares of the width and height.
      person: number of the person in the video, -1 if unknown.
    """

    video: str
    time: float
    corners: tuple[float, float, float, float]
    label: str
    person: int = -1


@dataclass(frozen=True)
class Length:
    """The length of a video.

    Attributes:
      seconds: duration.
      frames: number of frames, 0 if unknown.
      feature_frames: number of frames that its features cover, 0 if unknown.
      subset: the part of the data set that it belongs to, "" if unknown.
    """

    seconds: float
    frames: int = 0
    feature_frames: int = 0
    subset: str = ""


@dataclass
class Annotations:
    """The content of a file.

    Attributes:
      lengths: length of each video, as far as the file has it.
      ignored: number of rows without an annotation, such as key frames without people.
    """

    labels: list[Label] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    lengths: dict[str, Length] = field(default_factory=dict)
    ignored: int = 0

    def videos(self) -> list[str]:
        """Return the names of all videos in order."""
        items = (*self.labels, *self.segments, *self.boxes)
        return list(dict.fromkeys([*self.lengths, *(item.video for item in items)]))

    def segment(
        self,
        video: str,
        start: float,
        end: float,
        label: str,
        where: str,
        seconds: float = math.inf,
    ) -> None:
        """Add a segment. `where` is its place in the file, for the message.

        Raises:
          UserError: it has no length or no class, or is outside the video.
        """
        if not video or not label:
            raise UserError(f"{where}: the name of the {'class' if video else 'video'} is missing")
        if not end > start or not math.isfinite(end):
            raise UserError(f"{where}: it ends at {end:g} s and starts at {start:g} s")
        if not -SLACK <= start < end <= seconds + SLACK:
            raise UserError(
                f"{where}: {start:g} to {end:g} s is outside the video, 0 to {seconds:g} s"
            )
        self.segments.append(Segment(video, start, end, label))

    def box(
        self,
        video: str,
        time: float,
        corners: Sequence[float],
        label: str,
        where: str,
        person: int = -1,
    ) -> None:
        """Add a box. `where` is its place in the file, for the message.

        Raises:
          UserError: it has no class, is outside the frame or empty, or its time is negative.
        """
        if not video or not label:
            raise UserError(f"{where}: the name of the {'class' if video else 'video'} is missing")
        x1, y1, x2, y2 = corners
        inside = all(-TOLERANCE <= corner <= 1 + TOLERANCE for corner in corners)
        if not inside or not (x1 <= x2 and y1 <= y2):
            shown = " ".join(f"{corner:g}" for corner in corners)
            what = "has swapped corners" if inside else "is outside the frame, 0 to 1"
            raise UserError(f"{where}: box {shown} {what}")
        if not time >= 0:
            raise UserError(f"{where}: time {time:g} s is before the start of the video")
        self.boxes.append(Box(video, time, (x1, y1, x2, y2), label, person))


@dataclass(frozen=True)
class Known:
    """Facts that a file may lack: class names, the videos, and where its classes are.

    Attributes:
      names: class names by number; () if they are not known.
      videos: folder of the videos; None if they are not available.
      attribute: name of the attribute that has the class, in CVAT and VIA; "" for the default.
    """

    names: tuple[str, ...] = ()
    videos: Path | None = None
    attribute: str = ""

    def name(self, cell: str, first: int, where: str) -> str:
        """Return the name of a class from its number, if the names are known and it is a number.

        Args:
          first: number of the first class.

        Raises:
          UserError: there is no class of this number.
        """
        if not self.names or not cell.isdecimal():
            return cell
        if not 0 <= int(cell) - first < len(self.names):
            last = len(self.names) - 1 + first
            raise UserError(f"{where}: class {cell} is outside {first}..{last}")
        return self.names[int(cell) - first]

    def number(self, label: str, first: int) -> str:
        """Return the number of a class as text, or the label itself if it is a number.

        Raises:
          UserError: the class is unknown.
        """
        if label in self.names:
            return str(self.names.index(label) + first)
        if label.isdecimal() and not self.names:
            return label
        raise UserError(f'this format has numbers of classes: give --names with "{label}" in it')

    def reader(self, video: str, where: str) -> VideoReader:
        """Open a video of the folder.

        Raises:
          UserError: there is no folder, or the video does not exist or cannot be read.
        """
        if self.videos is None:
            raise UserError(f"{where}: this needs the length of the videos: give --videos FOLDER")
        files = [self.videos / video, *sorted(self.videos.glob(f"{_escaped(video)}.*"))]
        path = next((path for path in files if path.is_file()), None)
        if path is None:
            raise UserError(f'{where}: there is no video "{video}" in {self.videos}')
        try:
            return VideoReader(path)
        except VideoError as error:
            raise UserError(str(error)) from None

    def length(self, found: Annotations, video: str) -> Length:
        """Return the length of a video from its annotations, or else from the video."""
        known = found.lengths.get(video)
        if known and known.seconds:
            return known
        with self.reader(video, f'video "{video}"') as reader:
            return Length(round(reader.duration, 3), reader.frames, reader.frames)


@dataclass(frozen=True)
class Format:
    """How one format is read and written.

    Attributes:
      about: one line for the help of the command.
      kinds: kinds of annotations that a file has, of KINDS.
      single: whether a file has the annotations of one video.
    """

    about: str
    kinds: tuple[str, ...]
    read: Callable[[Path, Known], Annotations]
    write: Callable[[Annotations, Known], str]
    single: bool = False


def by_video(items: Iterable[Any]) -> dict[str, list[Any]]:
    """Return the items of each video in order."""
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(item.video, []).append(item)
    return found


def _escaped(name: str) -> str:
    """Return a name without the characters that have a meaning in patterns of `glob`."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
