"""Untrimmed videos with segments in seconds, in one of the json formats of ActivityNet.

    {"v_x": {"duration": 9.5, "annotations": [{"segment": [1.0, 4.5], "label": "Surfing"}]}}

This is the minimum. The files of MMAction2 also have `duration_second`, `duration_frame` and
`feature_frame`. The official file has all videos under "database", each with its "subset". The
features of a video are a file with its name (see `data/annotations/feature_files.py`).
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from jaxvid import errors
from jaxvid.data.annotations import lists
from jaxvid.data.annotations.entries import POSITIVE, Entry, entry, is_number
from jaxvid.data.annotations.feature_checks import inspect_features, width
from jaxvid.data.sample import Sample, Source
from jaxvid.errors import UserError, did_you_mean
from jaxvid.log import warn_once

logger = logging.getLogger(__name__)

SUBSETS = {"train": "training", "val": "validation", "test": "validation"}
KNOWN_SUBSETS = (*dict.fromkeys(SUBSETS.values()), "testing", "test")
SLACK = 0.1  # seconds that a segment may end after its video, because durations are often rounded


@dataclass(frozen=True, repr=False)
class Untrimmed(Source):
    """Videos and their segments.

    Attributes:
      ids: names of the videos.
      paths: feature file of each video.
      durations: float64 (n,), seconds that the features of each video cover.
      segments: float32 (n, k, 2), start and end in seconds.
      segment_labels: int32 (n, k), -1 for padding.
      labels: int32 (n, classes), 1 for each class of the segments of a video.
      names, origin: see `data/sample.py`.
      about: {"features": settings of the feature extraction}, if the files contain them.
    """

    ids: tuple[str, ...]
    paths: tuple[str, ...]
    durations: np.ndarray
    segments: np.ndarray
    segment_labels: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    origin: str
    about: Mapping[str, Any] = field(default_factory=dict)

    tried: ClassVar[bool] = True

    @property
    def longest(self) -> float:
        return float(self.durations.max())

    @property
    def channels(self) -> int:
        return width(self.paths)

    def __getitem__(self, index: int) -> Sample:
        return {
            "path": self.paths[index],
            "duration": self.durations[index],
            "segments": self.segments[index],
            "segment_label": self.segment_labels[index],
        }

    def id(self, index: int) -> str:
        return self.ids[index]

    def where(self, index: int) -> str:
        return _where(self.origin, self.ids[index])


def build(
    split: str,
    *,
    root: str,
    file: str,
    features: str,
    suffix: str = ".npz",
    prefix: str = "",
    outside: Literal["error", "kept"] = "error",
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Untrimmed:
    """Read the annotations of one split, and the settings of its features.

    Args:
      split: "train", "val" or "test". It selects the subset, if the file has subsets.
      root: folder that contains `file` and `features`.
      file: Annotations, a json file. "{split}" in its name stands for the name of the split.
      features: Folder of the feature files. The features of a video are in
        `features/PREFIX + name + SUFFIX`.
      suffix: File extension of the feature files: .csv, .npy or .npz.
      prefix: Prefix of the names of the feature files. Use "v_" for files of ActivityNet whose
        annotations lack it.
      outside: What is done with a segment that ends after its video. "error" raises an error.
        "kept" keeps the segment in evaluation and shortens it in training, as published. It also
        leaves out segments without a length.
      names: class names by label. By default, those in the file, in alphabetical order.

    Raises:
      UserError: the file does not exist, or annotations are invalid; the message lists them, each
        with its video and segment.
    """
    path = lists.file_of(root, file, split)
    videos = read_videos(path, split)
    if outside not in ("error", "kept"):
        raise UserError(f'config.data.{split}.outside is error or kept, not "{outside}"')
    if problems := list(find_problems(videos, path, names, outside)):
        raise errors.problems("the data has problems:", problems)
    if not any(v["annotations"] for v in videos.values()):
        raise UserError(f'{path}: no video of {split} has a segment; all "annotations" are empty')
    warn_of_segments(videos, path, outside)
    names = names or tuple(sorted({a["label"] for v in videos.values() for a in v["annotations"]}))
    number = {name: i for i, name in enumerate(names)}

    kept = [[a for a in v["annotations"] if _length(a) > 0] for v in videos.values()]
    most = max(1, *map(len, kept))
    segments = np.zeros((len(kept), most, 2), np.float32)
    segment_labels = np.full((len(kept), most), -1, np.int32)
    labels = np.zeros((len(kept), len(names)), np.int32)
    for row, own in enumerate(kept):
        for place, annotation in enumerate(own):
            segments[row, place] = annotation["segment"]
            segment_labels[row, place] = number[annotation["label"]]
            labels[row, number[annotation["label"]]] = 1
    stems = (name if name.startswith(prefix) else prefix + name for name in videos)
    paths = tuple(str(Path(root, features, stem + suffix)) for stem in stems)
    durations = np.array([covered(video) for video in videos.values()])
    about, durations = inspect_features(paths, durations, path)
    return Untrimmed(
        tuple(videos), paths, durations, segments, segment_labels, labels, names, str(path), about
    )


def read_videos(path: Path, split: str) -> dict[str, dict]:
    """Return the videos by name. If the file has subsets, these are the videos of one split.

    Raises:
      UserError: the file is not a json, a name appears twice, a subset is unknown, or no video
        belongs to the split.
    """
    found = lists.parse_json(lists.read_text(path), path)
    if isinstance(found, dict):
        found = found.get("database", found)
    if not isinstance(found, dict) or not all(isinstance(v, dict) for v in found.values()):
        raise UserError(f'{path}: expected {{"video": {{"annotations": [...], ...}}, ...}}')
    if any("subset" in video for video in found.values()):
        for name, video in found.items():
            own = Entry(video, _where(path, name))
            if str(own.get("subset")).lower() not in KNOWN_SUBSETS:  # THUMOS has capital letters
                raise own.wrong("subset", " or ".join(KNOWN_SUBSETS))
        found = {k: v for k, v in found.items() if v["subset"].lower() == SUBSETS[split]}
    if not found:
        raise UserError(f'{path}: no video of the subset "{SUBSETS[split]}"')
    return found


def find_problems(
    videos: Mapping[str, dict], path: Path, names: tuple[str, ...], outside: str
) -> Iterator[str]:
    """Yield one line for each problem of the annotations."""
    for name, values in videos.items():
        video = Entry(values, _where(path, name))
        try:
            second = check_lengths(video)
            segments = video.items("annotations", "a list of segments")
        except UserError as error:
            yield str(error)
            continue
        for number, values in enumerate(segments):
            try:
                segment = entry(values, f"{video.where}, segment {number}")
                check_segment(segment, second, names, outside)
            except UserError as error:
                yield str(error)


def check_lengths(video: Entry) -> float:
    """Check all keys that describe the length of a video, and return its length in seconds."""
    key = "duration_second" if "duration_second" in video.values else "duration"
    second = video.number(key, "seconds above 0", low=POSITIVE)
    for key in ("duration_frame", "feature_frame"):
        if key in video.values or "feature_frame" in video.values:
            video.number(key, "a number of frames above 0", low=POSITIVE)
    if "feature_frame" in video.values:
        frames = float(video.values["duration_frame"])
        most = f"a number up to duration_frame, {frames:g}: features cover no more than the video"
        video.number("feature_frame", most, high=frames)
    return second


def check_segment(segment: Entry, second: float, names: tuple[str, ...], outside: str) -> None:
    """Raise a UserError if a segment is invalid. `second` is the length of its video in seconds."""
    times = segment.items("segment", "[start, end] in seconds")
    if [*map(is_number, times)] != [True, True]:
        raise segment.wrong("segment", "[start, end] in seconds")
    label = segment.text("label", "the name of a class")
    if names and label not in names:
        raise UserError(f'{segment.where}: no such class: "{label}".{did_you_mean(label, names)}')
    start, end = times
    if outside == "error" and end <= start:
        raise UserError(f"{segment.where}: it ends at {end:g} s, before it starts ({start:g} s)")
    if outside == "error" and not -SLACK <= start < end <= second + SLACK:
        raise UserError(
            f"{segment.where}: {start:g} to {end:g} s is outside the video, 0 to {second:g} s;"
            ' correct it, or keep such segments with outside="kept"'
        )


def warn_of_segments(videos: Mapping[str, dict], path: Path, outside: str) -> None:
    """Warn about segments that are valid but may be mistakes, with their number and the first.

    Published files contain some of them. With `outside="kept"`, segments that are repeated or
    overlap are not mentioned.
    """
    found: dict[str, list[str]] = {}
    for name, video in videos.items():
        second, seen = length(video), Counter()
        own = sorted(enumerate(video["annotations"]), key=lambda item: item[1]["segment"])
        last: dict[str, float] = {}
        for number, annotation in own:
            (start, end), label = annotation["segment"], annotation["label"]
            where = f'{start:g} to {end:g} s "{label}", segment {number} of video "{name}"'
            seen[start, end, label] += 1
            if end <= start:
                found.setdefault("have no length and are left out", []).append(where)
            elif outside == "kept" and end > second + SLACK:
                found.setdefault("end after their video", []).append(where)
            elif outside == "error" and seen[start, end, label] == 2:
                what = "are repeated and count several times; remove the repeats"
                found.setdefault(what, []).append(where)
            elif outside == "error" and seen[start, end, label] == 1 and start < last.get(label, 0):
                found.setdefault("overlap another segment of their class", []).append(where)
            last[label] = max(end, last.get(label, 0))
    for what, places in found.items():
        warn_once(logger, f"{path}: {len(places):,} segments {what}, such as {places[0]}")


def length(video: Mapping) -> float:
    """Return the length of a video in seconds."""
    return float(video.get("duration_second", video.get("duration")))


def covered(video: Mapping) -> float:
    """Return the seconds that the features of a video cover. They may end before the video."""
    if "feature_frame" not in video:
        return length(video)
    return video["feature_frame"] / video["duration_frame"] * length(video)


def _where(path: Path | str, video: str) -> str:
    return f'{path}: video "{video}"'


def _length(annotation: Mapping) -> float:
    start, end = annotation["segment"]
    return end - start
