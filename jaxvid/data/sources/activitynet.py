"""Untrimmed videos with segments in seconds, in one of the json formats of ActivityNet.

    {"v_x": {"duration": 9.5, "annotations": [{"segment": [1.0, 4.5], "label": "Surfing"}]}}

This is the minimum. The files of MMAction2 also have `duration_second`, `duration_frame` and
`feature_frame`. The official file has all videos under "database", each with its "subset". The
features of a video are a file with its name (see `data/annotations/feature_files.py`).
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxvid import errors
from jaxvid.data.annotations import lists
from jaxvid.data.annotations.entries import POSITIVE, Entry, entry, is_number
from jaxvid.data.annotations.feature_files import Made, read_made
from jaxvid.data.sample import Sample, Source
from jaxvid.data.video.decode import VideoError
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

    @property
    def longest(self) -> float:
        return float(self.durations.max())

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
    warn_of_repeats(videos, path, outside)
    names = names or tuple(sorted({a["label"] for v in videos.values() for a in v["annotations"]}))
    number = {name: i for i, name in enumerate(names)}

    kept = [[a for a in v["annotations"] if _length(a) > 0] for v in videos.values()]
    if dropped := sum(len(v["annotations"]) for v in videos.values()) - sum(map(len, kept)):
        warn_once(logger, f"{path}: {dropped} segments without a length are left out")
    most = max(1, *map(len, kept))
    segments = np.zeros((len(kept), most, 2), np.float32)
    segment_labels = np.full((len(kept), most), -1, np.int32)
    labels = np.zeros((len(kept), len(names)), np.int32)
    for row, own in enumerate(kept):
        for place, annotation in enumerate(own):
            segments[row, place] = annotation["segment"]
            segment_labels[row, place] = number[annotation["label"]]
            labels[row, number[annotation["label"]]] = 1
    paths = tuple(str(Path(root, features, f"{prefix}{name}{suffix}")) for name in videos)
    durations = np.array([covered(video) for video in videos.values()])
    about = {}
    if suffix == ".npz":
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


def warn_of_repeats(videos: Mapping[str, dict], path: Path, outside: str) -> None:
    """Warn about repeated segments. They count several times. Published files contain some."""
    if outside != "error":
        return
    repeats = []
    for name, video in videos.items():
        seen = Counter((*a["segment"], a["label"]) for a in video["annotations"])
        repeats += [(name, segment) for segment, count in seen.items() if count > 1]
    if repeats:
        name, (start, end, label) = repeats[0]
        warn_once(
            logger,
            f"{path}: {len(repeats):,} segments are repeated and count several times, such as"
            f' {start:g} to {end:g} s "{label}" of video "{name}"; remove the repeats',
        )


def covered(video: Mapping) -> float:
    """Return the seconds that the features of a video cover. They may end before the video."""
    second = float(video.get("duration_second", video.get("duration")))
    if "feature_frame" not in video:
        return second
    return video["feature_frame"] / video["duration_frame"] * second


def inspect_features(
    paths: tuple[str, ...], durations: np.ndarray, origin: Path
) -> tuple[dict, np.ndarray]:
    """Read the settings of the features of a split, and the seconds that they cover.

    Missing files are ignored here, because `source_checks.check_missing` reports them.

    Returns:
      {"features": settings of the feature extraction}, empty if unknown, and the durations.

    Raises:
      UserError: settings differ between files, or the length of features does not fit the video.
    """
    first: tuple[str, Made] | None = None
    durations, problems = durations.copy(), []
    for row, path in enumerate(paths):
        try:
            made, rows = read_made(path) if os.path.exists(path) else (None, 0)
        except VideoError as error:
            problems.append(str(error))
            continue
        if made is None:
            continue
        first = first or (path, made)
        if differences := made.differences(first[1]):
            problems.append(f"{path}: extracted in another way than {first[0]}: {differences}")
        seconds = made.seconds(rows)
        if abs(seconds - durations[row]) > max(1, 0.05 * durations[row], made.every / made.fps):
            problems.append(
                f"{path}: features of {seconds:.1f} s, but {origin} says that the video has"
                f" {durations[row]:.1f} s"
            )
        durations[row] = seconds
    if problems:
        raise errors.problems("the features have problems:", problems)
    return {"features": asdict(first[1])} if first else {}, durations


def _where(path: Path | str, video: str) -> str:
    return f'{path}: video "{video}"'


def _length(annotation: Mapping) -> float:
    start, end = annotation["segment"]
    return end - start
