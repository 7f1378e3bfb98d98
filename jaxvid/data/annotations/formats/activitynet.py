"""The json formats of ActivityNet: the official one, MMAction2's, and the shortest one."""

import json
from pathlib import Path
from typing import Any

from jaxvid.data.annotations import lists
from jaxvid.data.annotations.entries import POSITIVE, entry
from jaxvid.data.annotations.formats.items import Annotations, Format, Known, Length, by_video
from jaxvid.errors import UserError


def read(path: Path, known: Known) -> Annotations:
    """Read any of the three formats."""
    content = lists.parse_json(lists.read_text(path), path)
    if isinstance(content, dict):
        content = content.get("database", content)
    if not isinstance(content, dict):
        raise UserError(f'{path}: expected {{"video": {{"annotations": [...], ...}}, ...}}')
    found = Annotations()
    for name, values in content.items():
        video = entry(values, f'{path}: video "{name}"')
        key = "duration_second" if "duration_second" in video.values else "duration"
        seconds = video.number(key, "seconds above 0", low=POSITIVE)
        frames, features = (
            video.whole(key, "a number of frames above 0", low=1) if key in video.values else 0
            for key in ("duration_frame", "feature_frame")
        )
        subset = video.text("subset") if "subset" in video.values else ""
        found.lengths[name] = Length(seconds, frames, features, subset)
        for number, values in enumerate(video.items("annotations", "a list of segments")):
            segment = entry(values, f"{video.where}, segment {number}")
            times = segment.finite("segment", "[start, end] in seconds")
            if times.shape != (2,):
                raise segment.wrong("segment", "[start, end] in seconds")
            start, end = map(float, times)
            found.segment(name, start, end, segment.text("label"), segment.where, seconds)
    return found


def write_short(found: Annotations, known: Known) -> str:
    """Return {"video": {"duration": 9.5, "annotations": [...]}}."""
    return _text(
        {
            name: {"duration": known.length(found, name).seconds, "annotations": segments}
            for name, segments in _segments(found).items()
        }
    )


def write_official(found: Annotations, known: Known) -> str:
    """Return all videos under "database", with their subsets. An unknown subset is training."""
    database = {}
    for name, segments in _segments(found).items():
        length = known.length(found, name)
        about = {"duration": length.seconds, "subset": length.subset or "training"}
        database[name] = about | {"annotations": segments}
    return _text({"version": "VERSION 1.3", "taxonomy": [], "database": database})


def write_mmaction(found: Annotations, known: Known) -> str:
    """Return MMAction2's json, which also has numbers of frames."""
    videos = {}
    for name, segments in _segments(found).items():
        length = known.length(found, name)
        frames = length.frames
        if not frames:
            with known.reader(name, f'video "{name}"') as reader:
                frames = reader.frames
        videos[name] = {
            "duration_second": length.seconds,
            "duration_frame": frames,
            "annotations": segments,
            "feature_frame": length.feature_frames or frames,
        }
    return _text(videos)


def _segments(found: Annotations) -> dict[str, list[dict[str, Any]]]:
    """Return the segments of each video, also of those without any."""
    own = by_video(found.segments)
    return {
        name: [{"segment": [s.start, s.end], "label": s.label} for s in own.get(name, [])]
        for name in dict.fromkeys([*found.lengths, *own])
    }


def _text(content: dict) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


FORMATS = {
    "segments": Format("json with duration and segments", ("segments",), read, write_short),
    "mmaction_segments": Format(
        "MMAction2's json of ActivityNet", ("segments",), read, write_mmaction
    ),
    "activitynet": Format("ActivityNet's official json", ("segments",), read, write_official),
}
