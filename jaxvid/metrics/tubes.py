"""Metrics of MultiSports (Li et al., 2021): mAP by frame, and of tubes by video. Host-side numpy.

A tube is an action of one person from frame to frame. Boxes of one class are linked to tubes, as
MultiSports' own evaluation does it. Two tubes overlap by the mean IoU of their boxes in the frames
that they share, times the share of their time that they share. All values are fractions 0..1.

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
KEEP = 10  # boxes of a class and frame
LINK = 0.5  # IoU of a tube's last box with its next
SHORTEST = 15  # frames of a tube
WEAKEST = 0.005  # mean score of a tube
RANGES = {
    "20": [0.2],
    "50": [0.5],
    "05_45": np.arange(1, 10) * 0.05,
    "10_90": np.arange(1, 10) * 0.1,
    "50_95": 0.5 + np.arange(10) * 0.05,
}


class Tube(NamedTuple):
    """Boxes (t, 4) in frames (t,) of a video; the score of a true one is 1."""

    clip: int
    frames: np.ndarray
    boxes: np.ndarray
    score: float = 1.0


class Box(NamedTuple):
    """A box (4,) of one frame."""

    frame: int
    box: np.ndarray
    score: float


@dataclass
class MultiSportsMAP(Frames):
    """mAP by frame, and by video for thresholds of the overlap of tubes.

    A box has its best class alone. The time of a frame is its number.

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
        """{"frame_map", "video_map20", "video_map50", "video_map05_45", "video_map10_90", ...}.

        Warns of what may make them low.
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
        """ "video_map..." at each of RANGES, for scores (n, c) of each frame, -inf but for one."""
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
        """(c,) by frame; NaN for classes without a true box, and for `unscored`."""
        scores = [best_class(f.scores) for f in self.frames]
        each = class_precision(self.frames, scores, self.counts())
        each[list(self.unscored)] = np.nan
        return each

    def per_class(self, names: Sequence[str]) -> list[ClassRow]:
        """A row for every class, in class order: by frame."""
        return list(map(ClassRow, names, self.counts().tolist(), self.average_precision().tolist()))


def best_class(scores: np.ndarray) -> np.ndarray:
    """Scores (n, c), -inf but for the best of each row."""
    best = np.arange(scores.shape[1]) == scores.argmax(1)[:, None]
    return np.where(best, scores, -np.inf)


def true_tubes(frames: Sequence[Frame]) -> dict[int, list[Tube]]:
    """The true tubes of each class."""
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
    """Boxes and scores (n, 5) by frame, for each (video, class)."""
    found: dict[tuple[int, int], dict[int, np.ndarray]] = {}
    for f, s in zip(frames, scores, strict=True):
        for label in np.flatnonzero(np.isfinite(s).any(0)).tolist():
            said = np.isfinite(s[:, label])
            rows = np.column_stack([f.boxes[said], s[said, label]]).astype(np.float64)
            found.setdefault((f.clip, label), {})[round(f.time)] = rows
    return found


def link(clip: int, boxes: Mapping[int, np.ndarray]) -> list[Tube]:
    """Tubes out of boxes and scores (n, 5) by frame, of one class.

    In every frame each tube, the best first, takes the best box that overlaps its last one; a tube
    that finds none ends, and a box that is left begins a new one.
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
    """Boxes and scores (n, 5), the best first; scores of those near a better one are lowered.

    Pixels count as squares that a box covers whole: its sides are one longer than its corners say.
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
    """Average precision of the tubes of one class, for a threshold of their overlap."""
    scores = np.array([tube.score for tube in found])
    right = np.zeros(len(found), bool)
    for clip in {tube.clip for tube in annotated}:
        own = np.array([i for i, tube in enumerate(found) if tube.clip == clip], int)
        real = [tube for tube in annotated if tube.clip == clip]
        overlap = np.array([[tube_iou(found[i], t) for t in real] for i in own])
        right[own] = found_first(overlap.reshape(len(own), len(real)), scores[own], least)
    return ranked_precision(scores, right, len(annotated))


def tube_iou(a: Tube, b: Tube) -> float:
    """Mean IoU in the frames that both have, times their time over that of both together.

    Time is from first to last frame, so tubes that share one frame alone do not overlap.
    """
    first, last = max(a.frames[0], b.frames[0]), min(a.frames[-1], b.frames[-1])
    if last <= first:
        return 0.0
    whole = max(a.frames[-1], b.frames[-1]) - min(a.frames[0], b.frames[0])
    _, i, j = np.intersect1d(a.frames, b.frames, return_indices=True)
    return float(paired_iou(a.boxes[i], b.boxes[j]).mean() * (last - first) / whole)
