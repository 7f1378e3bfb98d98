"""Metrics of MultiSports (Li et al., 2021): mAP by frame, and of tubes by video. Host-side numpy.

A tube is an action of one person over several frames. Boxes of one class are linked to tubes as in
the evaluation of MultiSports. The overlap of two tubes is the mean IoU of their boxes in common
frames, times the IoU of their time spans. All values are fractions, 0..1.

Shapes: n boxes of a frame, t frames of a tube, c classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxvid.metrics.detection import (
    ClassRow,
    Frame,
    Frames,
    class_precision,
    found_first,
    iou,
    mean,
    paired_iou,
    ranked_precision,
    warn_if_low,
)

SUPPRESS = 0.6  # IoU above which a box lowers the scores of others
KEEP = 10  # maximum number of boxes of a class in a frame
LINK = 0.5  # minimum IoU of the last box of a tube with the next one
SHORTEST = 15  # minimum number of frames of a tube
WEAKEST = 0.005  # minimum of the mean score of a tube
RANGES = {
    "20": [0.2],
    "50": [0.5],
    "05_45": np.arange(1, 10) * 0.05,
    "10_90": np.arange(1, 10) * 0.1,
    "50_95": 0.5 + np.arange(10) * 0.05,
}


class Tube(NamedTuple):
    """Boxes (t, 4) in frames (t,) of a video, with a score; the score of a true tube is 1."""

    clip: int
    frames: np.ndarray
    boxes: np.ndarray
    score: float = 1.0


class Box(NamedTuple):
    """A box (4,) in one frame, with its score."""

    frame: int
    box: np.ndarray
    score: float


@dataclass
class MultiSportsMAP(Frames):
    """mAP by frame, and by video for thresholds of the overlap of tubes.

    A box has only its best class. The time of a frame is its number.

    Attributes:
      unscored: classes that are left out.
      published: report "video_map..._published" beside them, as MMAction2 has them: there all boxes
        have the score of the one that was evaluated last.
    """

    unscored: Sequence[int] = ()
    published: bool = False

    @property
    def larger_is_better(self) -> tuple[str, ...]:
        video = tuple(f"video_map{name}" for name in RANGES)
        stale = tuple(f"{name}_published" for name in video) if self.published else ()
        return ("frame_map", *video, *stale)

    def compute(self) -> dict[str, float]:
        """Return {"frame_map", "video_map20", "video_map50", "video_map05_45", ...}.

        Warns of possible causes of low values.
        """
        scores = [best_class(f.scores) for f in self.frames]
        values = {"frame_map": mean(self.average_precision())} | self.video_precision(scores)
        warn_if_low(values["frame_map"], self.frames)
        if self.published:
            last = next((s.max() for s in reversed(scores) if len(s)), 0.0)
            same = [np.where(np.isfinite(s), last, s) for s in scores]
            stale = self.video_precision(same)
            values |= {f"{name}_published": value for name, value in stale.items()}
        return values

    def video_precision(self, scores: Sequence[np.ndarray]) -> dict[str, float]:
        """Return "video_map..." for each of RANGES.

        Args:
          scores: (n, c) for each frame, -inf for all classes of a box except one.
        """
        annotated = true_tubes(self.frames)
        found: dict[int, list[Tube]] = {}
        for (clip, label), boxes in by_class(self.frames, scores).items():
            found.setdefault(label, []).extend(link(clip, boxes))
        values = {}
        for name, thresholds in RANGES.items():
            each = [
                [tube_precision(found.get(c, []), tubes, least) for least in thresholds]
                for c, tubes in annotated.items()
                if c not in self.unscored
            ]
            values[f"video_map{name}"] = float(np.mean(each)) if each else 0.0
        return values

    def average_precision(self) -> np.ndarray:
        """Return the AP by frame (c,); NaN for classes without a true box, and for `unscored`."""
        scores = [best_class(f.scores) for f in self.frames]
        each = class_precision(self.frames, scores, self.counts())
        each[list(self.unscored)] = np.nan
        return each

    def per_class(self, names: Sequence[str]) -> list[ClassRow]:
        """Return a row for each class, in class order, with the AP by frame."""
        return list(map(ClassRow, names, self.counts().tolist(), self.average_precision().tolist()))


def best_class(scores: np.ndarray) -> np.ndarray:
    """Return scores (n, c) with -inf for all but the highest score of each row."""
    best = np.arange(scores.shape[1]) == scores.argmax(1)[:, None]
    return np.where(best, scores, -np.inf)


def true_tubes(frames: Sequence[Frame]) -> dict[int, list[Tube]]:
    """Return {class: true tubes}."""
    parts: dict[tuple[int, int, int], list[tuple[int, np.ndarray]]] = {}
    for f in frames:
        tubes = f.tube if f.tube is not None else ()
        for box, labels, tube in zip(f.true_boxes, f.labels, tubes, strict=True):
            for label in np.flatnonzero(labels).tolist():
                parts.setdefault((label, f.clip, int(tube)), []).append((round(f.time), box))
    found: dict[int, list[Tube]] = {}
    for (label, clip, _), rows in sorted(parts.items(), key=lambda item: item[0]):
        numbers, boxes = zip(*sorted(rows, key=lambda row: row[0]), strict=True)
        found.setdefault(label, []).append(Tube(clip, np.array(numbers), np.stack(boxes)))
    return found


def by_class(
    frames: Sequence[Frame], scores: Sequence[np.ndarray]
) -> dict[tuple[int, int], dict[int, np.ndarray]]:
    """Return {(video, class): {frame: boxes and scores (n, 5)}}."""
    found: dict[tuple[int, int], dict[int, np.ndarray]] = {}
    for f, s in zip(frames, scores, strict=True):
        for label in np.flatnonzero(np.isfinite(s).any(0)).tolist():
            said = np.isfinite(s[:, label])
            rows = np.column_stack([f.boxes[said], s[said, label]]).astype(np.float64)
            found.setdefault((f.clip, label), {})[round(f.time)] = rows
    return found


def link(clip: int, boxes: Mapping[int, np.ndarray]) -> list[Tube]:
    """Link boxes of one class to tubes.

    In each frame, each tube, the best first, gets the best box that overlaps its last box. A tube
    without such a box ends, and each remaining box starts a new tube.

    Args:
      clip: number of the video.
      boxes: {frame: boxes and scores (n, 5)}.
    """
    done: list[list[Box]] = []
    open_tubes: list[list[Box]] = []
    for frame in range(min(boxes), max(boxes) + 1):
        rows = suppress(boxes[frame])[:KEEP] if frame in boxes else np.zeros((0, 5))
        open_tubes.sort(key=score, reverse=True)
        going = []
        for tube in open_tubes:
            near = np.flatnonzero(iou(rows[:, :4], tube[-1].box[None])[:, 0] >= LINK)
            if len(near):
                best = near[0]
                tube.append(Box(frame, rows[best, :4], rows[best, 4]))
                rows = np.delete(rows, best, 0)
                going.append(tube)
            else:
                done.append(tube)
        open_tubes = going + [[Box(frame, row[:4], row[4])] for row in rows]
    kept = [t for t in done + open_tubes if len(t) >= SHORTEST and score(t) >= WEAKEST]
    return [
        Tube(clip, np.array([b.frame for b in t]), np.stack([b.box for b in t]), score(t))
        for t in kept
    ]


def score(tube: Sequence[Box]) -> float:
    return float(np.mean([box.score for box in tube]))


def suppress(rows: np.ndarray) -> np.ndarray:
    """Lower the scores of boxes that overlap a better one.

    As published, the width and height of a box are one pixel larger than the difference of its
    corners.

    Args:
      rows: boxes and scores (n, 5).

    Returns:
      Boxes and scores (n, 5), the best first.
    """
    left = np.argsort(rows[:, 4], kind="stable")[::-1]
    grown = rows[:, :4] + np.array([0, 0, 1, 1])
    weight = np.ones(len(rows))
    while len(left):
        overlap = iou(grown[left[:1]], grown[left[1:]])[0]
        near = overlap > SUPPRESS
        weight[left[1:][near]] = 1 - overlap[near]
        left = left[1:][~near]
    rows = np.column_stack([rows[:, :4], rows[:, 4] * weight])
    return rows[np.argsort(rows[:, 4], kind="stable")[::-1]]


def tube_precision(found: Sequence[Tube], annotated: Sequence[Tube], least: float) -> float:
    """Return the average precision of the tubes of one class, with `least` as minimum overlap."""
    scores = np.array([tube.score for tube in found])
    right = np.zeros(len(found), bool)
    for clip in {tube.clip for tube in annotated}:
        own = np.array([i for i, tube in enumerate(found) if tube.clip == clip], int)
        real = [tube for tube in annotated if tube.clip == clip]
        overlap = np.array([[tube_iou(found[i], t) for t in real] for i in own])
        right[own] = found_first(overlap.reshape(len(own), len(real)), scores[own], least)
    return ranked_precision(scores, right, len(annotated))


def tube_iou(a: Tube, b: Tube) -> float:
    """Return the mean IoU in the common frames of two tubes, times the IoU of their time spans.

    A time span is the last frame minus the first, so the overlap of tubes with only one common
    frame is 0.
    """
    first, last = max(a.frames[0], b.frames[0]), min(a.frames[-1], b.frames[-1])
    if last <= first:
        return 0.0
    whole = max(a.frames[-1], b.frames[-1]) - min(a.frames[0], b.frames[0])
    _, i, j = np.intersect1d(a.frames, b.frames, return_indices=True)
    return float(paired_iou(a.boxes[i], b.boxes[j]).mean() * (last - first) / whole)
