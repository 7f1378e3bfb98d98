"""Metrics of UCF101-24 and JHMDB: mAP by frame and by video, as ACT and MOC evaluate them.

The program of ACT (Kalogeiton et al., 2017) differs from that of MultiSports in four points. Each
box counts for all classes. A box or tube takes the best true one that no better box has taken. The
last pixel belongs to a box, and the last frame to a tube. Average precision is the area below the
points of precision and recall, joined by straight lines. Boxes become tubes as in `tubes.link`. All
values are fractions, 0..1.

Shapes: n boxes of a frame, k true boxes, c classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxvid.metrics.detection import IOU, ClassRow, Frames, iou, mean, paired_iou, warn_if_low
from jaxvid.metrics.tubes import Tube, by_class, link, suppress, true_tubes

OVERLAP = 0.3  # overlap above which a tube is dropped beside a better one of its class
RANGES = {"20": [0.2], "50": [0.5], "75": [0.75], "50_95": 0.5 + np.arange(10) * 0.05}
INCLUSIVE = np.array([0, 0, 1, 1])  # makes the last pixel a part of a box


@dataclass
class ActionTubeMAP(Frames):
    """mAP of boxes in frames at an IoU of 0.5, and of tubes at several thresholds.

    The time of a frame is its number.

    Attributes:
      unscored: classes that are left out.
    """

    unscored: Sequence[int] = ()

    @property
    def larger_is_better(self) -> tuple[str, ...]:
        return ("frame_map", *(f"video_map{name}" for name in RANGES))

    def compute(self) -> dict[str, float]:
        """Return {"frame_map", "video_map20", "video_map50", "video_map75", "video_map50_95"}.

        Warns of possible causes of low values.
        """
        values = {"frame_map": mean(self.average_precision())} | self.video_precision()
        warn_if_low(values["frame_map"], self.frames)
        return values

    def average_precision(self) -> np.ndarray:
        """Return the AP by frame (c,); NaN for classes without a true box, and for `unscored`."""
        counts = self.counts()
        scores: list[list[np.ndarray]] = [[] for _ in counts]
        right: list[list[np.ndarray]] = [[] for _ in counts]
        for frame in self.frames:
            for c in np.flatnonzero(counts):
                rows = suppress(np.column_stack([frame.boxes, frame.scores[:, c]]))
                true = frame.true_boxes[frame.labels[:, c]] + INCLUSIVE
                scores[c].append(rows[:, 4])
                right[c].append(taken(iou(rows[:, :4] + INCLUSIVE, true), rows[:, 4], IOU))
        each = np.full(len(counts), np.nan)
        for c in set(np.flatnonzero(counts).tolist()) - set(self.unscored):
            found, hits = np.concatenate(scores[c]), np.concatenate(right[c])
            each[c] = area(found, hits, int(counts[c]))
        return each

    def video_precision(self) -> dict[str, float]:
        """Return "video_map..." for each of RANGES."""
        annotated = true_tubes(self.frames)
        found: dict[int, list[Tube]] = {}
        for (clip, label), boxes in by_class(self.frames, [f.scores for f in self.frames]).items():
            if label in annotated and label not in self.unscored:
                found.setdefault(label, []).extend(distinct(link(clip, boxes)))
        values: dict[str, list[list[float]]] = {name: [] for name in RANGES}
        for label, true in annotated.items():
            if label not in self.unscored:
                own = Overlaps(found.get(label, []), true)
                for name, thresholds in RANGES.items():
                    values[name].append([own.precision(least) for least in thresholds])
        return {f"video_map{k}": float(np.mean(v)) if v else 0.0 for k, v in values.items()}

    def per_class(self, names: Sequence[str]) -> list[ClassRow]:
        """Return a row for each class, in class order, with the AP by frame."""
        return list(map(ClassRow, names, self.counts().tolist(), self.average_precision().tolist()))


class Overlaps:
    """The overlaps of the tubes of one class with the true ones of their videos."""

    def __init__(self, found: Sequence[Tube], true: Sequence[Tube]):
        self.scores = np.array([tube.score for tube in found])
        self.count = len(true)
        self.videos = []
        for clip in {tube.clip for tube in true}:
            own = np.array([i for i, tube in enumerate(found) if tube.clip == clip], int)
            real = [tube for tube in true if tube.clip == clip]
            near = np.array([[overlap(t, found[i]) for t in real] for i in own])
            self.videos.append((own, near.reshape(len(own), len(real))))

    def precision(self, least: float) -> float:
        """Return the average precision with `least` as the minimum overlap."""
        right = np.zeros(len(self.scores), bool)
        for own, near in self.videos:
            right[own] = taken(near, self.scores[own], least)
        return area(self.scores, right, self.count)


def taken(near: np.ndarray, scores: np.ndarray, least: float) -> np.ndarray:
    """Return bool (n,), which boxes get a true one, the highest score first.

    Args:
      near: overlaps (n, k). A box takes the nearest true one that is free.
      scores: (n,).
      least: minimum overlap.
    """
    right = np.zeros(len(scores), bool)
    if not near.size:
        return right
    free = near.copy()
    for i in np.argsort(-scores, kind="stable"):
        best = free[i].argmax()
        if free[i, best] >= least:
            right[i] = True
            free[:, best] = -1
    return right


def area(scores: np.ndarray, right: np.ndarray, count: int) -> float:
    """Return the area below the points of precision and recall, which begin at (1, 0).

    Args:
      scores: (n,).
      right: bool (n,), which of them are correct.
      count: number of true boxes or tubes.
    """
    hits = right[np.argsort(-scores, kind="stable")].cumsum()
    precision = np.concatenate([[1.0], hits / np.arange(1, len(hits) + 1)])
    recall = np.concatenate([[0.0], hits / count])
    return float(((recall[1:] - recall[:-1]) * (precision[1:] + precision[:-1]) / 2).sum())


def overlap(a: Tube, b: Tube) -> float:
    """Return the mean IoU in the common frames of two tubes, times the IoU of their time spans."""
    first, last = max(a.frames[0], b.frames[0]), min(a.frames[-1], b.frames[-1])
    if last < first:
        return 0.0
    whole = max(a.frames[-1], b.frames[-1]) - min(a.frames[0], b.frames[0]) + 1
    _, i, j = np.intersect1d(a.frames, b.frames, return_indices=True)
    if not len(i):
        return 0.0
    near = paired_iou(a.boxes[i] + INCLUSIVE, b.boxes[j] + INCLUSIVE)
    return float(near.mean() * (last - first + 1) / whole)


def distinct(tubes: Sequence[Tube]) -> list[Tube]:
    """Return the tubes of a class in a video that overlap no better one by more than OVERLAP."""
    left = sorted(tubes, key=lambda tube: -tube.score)
    kept = []
    while left:
        kept.append(left[0])
        left = [tube for tube in left[1:] if overlap(tube, kept[-1]) <= OVERLAP]
    return kept
