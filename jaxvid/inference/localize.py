"""Segments of a long video, from its features to one list for the whole video.

    import jaxvid
    from jaxvid.inference.localize import localize

    model = jaxvid.load("runs/bmn_own")
    print(*localize(model, "match.mp4").lines(), sep="\n")

A localizer stretches its input to a fixed number of rows, or has seen videos up to some duration.
So a longer video is divided into windows that overlap, and the model sees one window at a time. A
segment counts in the window whose middle is nearest to the middle of the segment. Segments that
are shorter than the overlap are complete in that window.

Memory: frames are decoded in batches, and the features of the whole video are kept, one row of
channels for each clip. The rest is proportional to one window.

Shapes: t rows of features, c channels, n segments.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvid import files, provenance
from jaxvid.data.annotations import feature_files
from jaxvid.data.transforms.features import Load
from jaxvid.errors import UserError
from jaxvid.inference.model import Model
from jaxvid.ops.segments import iou
from jaxvid.results import Localized

SAME = 0.5  # IoU from which segments of two windows with the same label are the same action
EACH = 100  # maximum number of segments of a window


class Part(NamedTuple):
    """Segments of one window of a video.

    Attributes:
      start, end: time of the window, in seconds.
      found: its segments, in seconds from the start of the window.
    """

    start: float
    end: float
    found: Localized


def localize(
    model: Model,
    video: str | Path,
    *,
    window: float | None = None,
    overlap: float = 0.5,
    topk: int | None = None,
    features: str | Path | None = None,
    query: str = "",
) -> Localized:
    """Find the segments of a video.

    Args:
      model: A localizer, as `jaxvid.load` returns it.
      video: A video file, or a file of its features.
      window: Seconds of a window; 0 takes the whole video at once. None means the duration of the
        longest video of the training, or 0 if that is unknown.
      overlap: Share of a window that the next one contains, 0 to 0.9.
      topk: Number of segments; None means 10.
      features: A file .npz of the features of `video`. It is written if it is missing or older than
        the video, so that a second call does not read the video.
      query: A sentence that describes what to find, for models of language grounding.

    Raises:
      UserError: the model is no localizer, its features cannot be computed or were made in another
        way than in its training, an option is out of range, a file cannot be read, or the model
        takes a query and there is none, or the reverse.
    """
    if not hasattr(model.task, "proposals"):
        task = model.config["task"]["name"]
        raise UserError(f"{model.source}: a model of {task}, not a localizer such as bmn_own")
    if query and not model.takes_query:
        raise UserError(f"{model.source}: this model finds all actions and takes no query")
    if model.takes_query and not query.strip():
        raise UserError(
            f"{model.source}: this model finds what a sentence describes; give it with --query, in"
            " Python query="
        )
    seconds = float(model.meta.get("longest", 0) if window is None else window)
    if not seconds >= 0 or not 0 <= overlap <= 0.9:
        raise UserError(
            f"window={seconds:g}, overlap={overlap:g}: a window is 0 seconds or more, and the"
            " overlap is a share from 0 to 0.9"
        )
    sample = read_features(model, video, features) | ({"query": query} if query else {})
    rows, duration = len(sample["feature"]), float(sample["duration"])
    each = duration / rows
    spans = windows(rows, round(seconds / each) if seconds else rows, overlap)
    if len(spans) == 1:
        return _named(model.predict(sample, topk), query)
    parts = []
    for start, end in spans:
        part = sample | {"feature": sample["feature"][start:end], "duration": (end - start) * each}
        parts.append(Part(start * each, end * each, model.predict(part, EACH)))
    return _named(merge(parts, duration, topk or 10), query)


def _named(found: Localized, query: str) -> Localized:
    """Return segments with the query as their label, if there is one."""
    return replace(found, labels=(query,) * len(found.labels)) if query else found


def windows(rows: int, size: int, overlap: float) -> list[tuple[int, int]]:
    """Return the first row and the row after the last of each window, in the order of time.

    All windows have `size` rows, or all rows if there are fewer. The last window ends at the last
    row, so it can overlap the one before it by more.

    Args:
      rows: number of rows of the video.
      size: number of rows of a window, at least 1.
      overlap: share of a window that the next one contains.
    """
    size = min(max(size, 1), rows)
    step = max(round(size * (1 - overlap)), 1)
    starts = [*range(0, rows - size, step), rows - size]
    return [(start, start + size) for start in starts]


def merge(parts: Sequence[Part], duration: float, topk: int) -> Localized:
    """Return the best segments of all windows, best first, in seconds of the video.

    Each window contributes the segments whose middle is nearest to its own. Of two segments of
    different windows with the same label that overlap by at least `SAME`, the better one stays.
    """
    middles = np.array([(part.start + part.end) / 2 for part in parts])
    rows = []
    for number, part in enumerate(parts):
        fields = part.found.labels, part.found.scores, part.found.segments
        for label, score, (start, end) in zip(*fields, strict=True):
            start, end = start + part.start, min(end + part.start, duration)
            if np.abs(middles - (start + end) / 2).argmin() == number:
                rows.append((score, label, (start, end), number))
    kept: list[tuple[float, str, tuple[float, float], int]] = []
    for row in sorted(rows, key=lambda row: -row[0]):
        others = [k[2] for k in kept if k[1] == row[1] and k[3] != row[3]]
        if not others or iou(np.array(others), np.array(row[2])).max() < SAME:
            kept.append(row)
        if len(kept) == topk:
            break
    return Localized(
        labels=tuple(row[1] for row in kept),
        scores=tuple(row[0] for row in kept),
        segments=tuple(row[2] for row in kept),
        duration=duration,
    )


def read_features(
    model: Model, video: str | Path, stored: str | Path | None = None
) -> dict[str, Any]:
    """Return the sample of a video: `path`, `feature` float32 (t, c), `duration` in seconds.

    Args:
      model: a localizer. Its checkpoint names the backbone that made the features of the training.
      video: a video, or a file of features.
      stored: file of the features of the video, as in `localize`.

    Raises:
      UserError: the features do not fit the model, or the model has no backbone.
    """
    path, rng = Path(video), np.random.default_rng(0)
    is_video = path.suffix not in feature_files.ENDINGS
    if is_video and "features" not in model.meta:
        raise UserError(
            f"{model.source}: it does not name the backbone that computes the features of a video;"
            f" give a file of features ({' '.join(feature_files.ENDINGS)}) instead of {path}, or"
            " train on features of tools.extract_features, which the checkpoint names"
        )
    if stored is None or not is_video:
        sample = {"path": str(path)}
        made = model.video_features(sample) if "features" in model.meta else {}
        return Load()(sample | made, rng)
    stored = Path(stored)
    if stored.suffix != ".npz":
        raise UserError(f"{stored}: the features of a video are stored in a file .npz")
    if stored.exists():
        feature_files.check(stored, made := feature_files.Made(**model.meta["features"]))
    known = feature_files.read_about(stored).get("made_from") if stored.exists() else None
    if not provenance.is_fresh(stored, path, known):
        source = provenance.describe(path)
        found = model.video_features({"path": str(path)})
        made = feature_files.Made(**model.meta["features"])
        with files.explained(stored):
            made = replace(made, channels=found["feature"].shape[1])
            feature_files.write(stored, found["feature"], made, made_from=source)
    return Load()({"path": str(stored)}, rng)
