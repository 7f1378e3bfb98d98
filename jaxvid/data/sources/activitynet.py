"""Untrimmed videos with segments in seconds, in any of the ways that ActivityNet's json is written.

    {"v_x": {"duration": 9.5, "annotations": [{"segment": [1.0, 4.5], "label": "Surfing"}]}}

That is the least; MMAction2 adds `duration_second`, `duration_frame` and `feature_frame`, and the
official file has all videos under "database", each with its "subset". A video's features are the
file of its name in a folder, see `data/features.py`.
"""

import math
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from jaxvid.data import annotations
from jaxvid.data.decode import VideoError
from jaxvid.data.features import Made, read_made
from jaxvid.data.sample import Sample
from jaxvid.errors import UserError, did_you_mean

SUBSETS = {"train": "training", "val": "validation", "test": "validation"}
SLACK = 0.1  # seconds that a segment may reach beyond its video: durations are often rounded
SHOWN = 10  # problems listed in one error


@dataclass(frozen=True, repr=False)
class Untrimmed:
    """Videos and their segments.

    Attributes:
      ids: names of the videos.
      paths: files of features.
      durations: float64 (n,), seconds that the features of a video cover.
      segments: float32 (n, k, 2), seconds.
      segment_labels: int32 (n, k), -1 for padding.
      labels: int32 (n, classes), 1 for each class that a video has a segment of.
      names, origin: see `data/sample.py`.
      about: {"features": how they were made}, where the files say so.
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

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        return {
            "path": self.paths[index],
            "duration": self.durations[index],
            "segments": self.segments[index],
            "segment_label": self.segment_labels[index],
        }

    def __repr__(self) -> str:
        return f"Untrimmed({self.origin}, {len(self)})"

    def id(self, index: int) -> str:
        return self.ids[index]

    def where(self, index: int) -> str:
        return f'{self.origin}: video "{self.ids[index]}"'


def build(
    split: str,
    *,
    root: str,
    file: str,
    features: str,
    suffix: str = ".npz",
    prefix: str = "",
    outside: str = "error",
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Untrimmed:
    """Read the annotations of one split, and how its features were made.

    Args:
      split: "train", "val" or "test": of a file with subsets, which one.
      root: folder that `file` and `features` lie in.
      file: the json.
      features: the folder of the features; a video's are `features/PREFIX + name + SUFFIX`.
      suffix: .csv, .npy or .npz.
      prefix: "v_" for the official names, which lack it.
      outside: what a segment is that reaches beyond its video: an "error", or as published "kept",
        as it is in evaluation and cut off in training. Such as have no length are then left out.
      names: class names by label; by default those that occur, in alphabetical order.

    Raises:
      UserError: no such file, or a list of what is wrong, each with its video and segment.
    """
    path = annotations.find(root, file, split)
    videos = read_videos(path, split)
    if outside not in ("error", "kept"):
        raise UserError(f'config.data.{split}.outside is error or kept, not "{outside}"')
    if problems := list(find_problems(videos, path, names, outside)):
        more = f"\n  ... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise UserError("the data has problems:\n  " + "\n  ".join(problems[:SHOWN]) + more)
    names = names or tuple(sorted({a["label"] for v in videos.values() for a in v["annotations"]}))
    number = {name: i for i, name in enumerate(names)}

    kept = [[a for a in v["annotations"] if _length(a) > 0] for v in videos.values()]
    if dropped := sum(len(v["annotations"]) for v in videos.values()) - sum(map(len, kept)):
        warnings.warn(f"{path}: {dropped} segments without a length are left out", stacklevel=2)
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
    """Videos by name, of one split where the file has several.

    Raises:
      UserError: it is no json, or a name occurs twice, or there are none.
    """
    found = annotations.parse_json(annotations.read_text(path), path)
    if isinstance(found, dict):
        found = found.get("database", found)
    if not isinstance(found, dict) or not all(isinstance(v, dict) for v in found.values()):
        raise UserError(f'{path}: expected {{"video": {{"annotations": [...], ...}}, ...}}')
    videos = {k: v for k, v in found.items() if v.get("subset", SUBSETS[split]) == SUBSETS[split]}
    if not videos:
        raise UserError(f'{path}: no video of the subset "{SUBSETS[split]}"')
    return videos


def find_problems(
    videos: Mapping[str, dict], path: Path, names: tuple[str, ...], outside: str
) -> Iterator[str]:
    """What is wrong with annotations, a line each."""
    for video, told in videos.items():
        where = f'{path}: video "{video}"'
        second = told.get("duration_second", told.get("duration"))
        if not _is_number(second) or second <= 0:
            yield f"{where}: duration_second, or duration, is {second}, not seconds above 0"
            continue
        if not _is_number(frames := told.get("duration_frame", 1)) or frames <= 0:
            yield f"{where}: duration_frame is {frames}, not a number of frames above 0"
            continue
        if not isinstance(told.get("annotations"), list):
            yield f'{where}: no list of "annotations"'
            continue
        for number, annotation in enumerate(told["annotations"]):
            which = f"{where}, segment {number}"
            segment = annotation.get("segment") if isinstance(annotation, dict) else None
            if not isinstance(segment, list) or [*map(_is_number, segment)] != [True, True]:
                yield f'{which}: expected {{"segment": [start, end], "label": name}}'
                continue
            label = annotation.get("label")
            if not isinstance(label, str) or (names and label not in names):
                near = did_you_mean(str(label), names)
                yield f'{which}: no such class: "{label}".{near}'
            start, end = segment
            if outside == "error" and end <= start:
                yield f"{which}: it ends at {end:g} s, before it starts ({start:g} s)"
            elif outside == "error" and not -SLACK <= start < end <= second + SLACK:
                yield (
                    f"{which}: {start:g} to {end:g} s is outside the video, 0 to {second:g} s; mend"
                    ' it, or keep such segments with outside="kept"'
                )


def covered(video: Mapping) -> float:
    """Seconds that the features of a video cover, which may stop short of its end."""
    second = float(video.get("duration_second", video.get("duration")))
    if "feature_frame" not in video:
        return second
    return video["feature_frame"] / video["duration_frame"] * second


def inspect_features(
    paths: tuple[str, ...], durations: np.ndarray, origin: Path
) -> tuple[dict, np.ndarray]:
    """How the features of a split were made, in one way, and the seconds that they cover.

    Files that are not there are left to the check of missing files.

    Raises:
      UserError: files that were made in different ways, or of another video by their length.
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
            problems.append(f"{path}: made in another way than {first[0]}: {differences}")
        seconds = made.seconds(rows)
        if abs(seconds - durations[row]) > max(1, 0.05 * durations[row], made.every / made.fps):
            problems.append(
                f"{path}: features of {seconds:.1f} s, but {origin} says that the video has"
                f" {durations[row]:.1f} s"
            )
        durations[row] = seconds
    if problems:
        more = f"\n  ... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise UserError("the features have problems:\n  " + "\n  ".join(problems[:SHOWN]) + more)
    return {"features": asdict(first[1])} if first else {}, durations


def _length(annotation: Mapping) -> float:
    start, end = annotation["segment"]
    return end - start


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
