"""Metrics of temporal localization, as ActivityNet's evaluation code defines them. Host-side numpy.

Recall (AR@AN, AUC) measures how many segments a number of proposals finds, without classes. Average
precision (mAP) measures segments with classes, at several thresholds of IoU. All values are
fractions, 0..1.

Shapes: n proposals of a video, (n, 3) start, end, score; k true segments of it, (k, 2) start, end;
i thresholds.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from jaxvid.errors import UserError
from jaxvid.log import warn_once
from jaxvid.ops.segments import iou

logger = logging.getLogger(__name__)

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # thresholds of IoU
SUSPICIOUS = 0.05  # if the AUC is lower, its cause is searched
SEPARATE = (50, 75, 95)  # percentages of IoU that are also reported separately


class Video(NamedTuple):
    """Proposals (n, 3 or 4) of one video, and its true segments (k, 2) with labels (k,)."""

    proposals: np.ndarray
    true_segments: np.ndarray
    labels: np.ndarray

    @property
    def label(self) -> int:
        """Return the most frequent label of the true segments; -1 if there are none."""
        return int(np.bincount(self.labels).argmax()) if len(self.labels) else -1


class ClassRow(NamedTuple):
    """One class of a report; NaN if it has no true segment."""

    name: str
    n: int  # true segments
    ar: float  # share that 100 proposals a video find, over the thresholds of IoU
    ap50: float
    ap75: float
    ap95: float
    ap: float  # mean over the thresholds


@dataclass
class ProposalMetrics:
    """AR, AUC and mAP of proposals, which have no class.

    For mAP, each proposal gets the true label of its video, as from a perfect classifier of videos.

    Attributes:
      detect: function from the predictions of a sample, without batch axis, to proposals (n, 3) in
        seconds.
      num_classes: number of classes of the data.
      limit: maximum number of proposals per video.
      thresholds: thresholds of IoU for mAP. AR and AUC are always those of `THRESHOLDS`.
    """

    detect: Callable[[Mapping[str, np.ndarray]], np.ndarray]
    num_classes: int
    limit: int = 100
    thresholds: np.ndarray = field(default_factory=lambda: THRESHOLDS)
    videos: list[Video] = field(default_factory=list, init=False)

    def update(self, preds: Mapping[str, Any]) -> None:
        """Add a batch of predictions.

        Args:
          preds: inputs of `detect`, segments (b, k, 2) in seconds, segment_label (b, k) with -1 for
            padding, mask (b,).
        """
        for row in np.flatnonzero(np.asarray(preds["mask"]) > 0):
            sample = {key: value[row] for key, value in preds.items()}
            real = sample["segment_label"] >= 0
            true_segments, labels = sample["segments"][real], sample["segment_label"][real]
            self.videos.append(Video(self.detect(sample)[: self.limit], true_segments, labels))

    @property
    def larger_is_better(self) -> tuple[str, ...]:
        return ("ar1", "ar5", "ar10", "ar100", "auc", "map", *(f"map{at}" for at in self.separate))

    @property
    def separate(self) -> dict[int, int]:
        """Return {percentage of IoU: number of its threshold} of those reported separately."""
        percent = np.round(self.thresholds * 100).astype(int).tolist()
        separate = SEPARATE if len(percent) > 5 else percent
        return {at: percent.index(at) for at in separate if at in percent}

    def compute(self) -> dict[str, float]:
        """Return {"ar1", "ar5", "ar10", "ar100", "auc", "map", "map50", "map75", "map95"}.

        The last ones depend on `thresholds`.

        Warns of possible causes of low values.
        """
        videos = [video for video in self.videos if len(video.true_segments)]
        if not videos:
            raise UserError("nothing to evaluate: no video of the split has a segment")
        recall = average_recall(
            [v.true_segments for v in videos], [v.proposals for v in videos], self.limit
        )
        values = {f"ar{k}": recall.at(k) for k in (1, 5, 10, 100)} | {"auc": recall.auc}
        if recall.auc < SUSPICIOUS and (reasons := diagnose(videos)):
            explained = "\n  ".join(reasons)
            warn_once(logger, f"AUC is {recall.auc:.2%}:\n  {explained}")
        mean = np.nanmean(self.average_precision(), 0)
        values |= {"map": float(mean.mean())}
        return values | {f"map{at}": float(mean[i]) for at, i in self.separate.items()}

    def average_precision(self) -> np.ndarray:
        """Return the AP (classes, i); NaN for a class without a true segment."""
        return np.array([self._of_class(self._precision, c) for c in range(self.num_classes)])

    def _precision(
        self, true_segments: Sequence[np.ndarray], detections: Sequence[np.ndarray]
    ) -> np.ndarray:
        return average_precision(true_segments, detections, self.thresholds)

    def per_class(self, names: Sequence[str]) -> list[ClassRow]:
        """Return a row for each class, in class order."""

        def recall(true_segments, found):
            real = [i for i, segments in enumerate(true_segments) if len(segments)]
            if not real:
                return np.nan
            pair = [true_segments[i] for i in real], [found[i] for i in real]
            return average_recall(*pair, self.limit).at(100)

        rows = []
        for label, (name, ap) in enumerate(zip(names, self.average_precision(), strict=True)):
            count = sum(int((video.labels == label).sum()) for video in self.videos)
            at = [*self._at(ap, SEPARATE), float(ap.mean())]
            rows.append(ClassRow._make([name, count, self._of_class(recall, label), *at]))
        return rows

    def _at(self, ap: np.ndarray, percentages: Sequence[int]) -> list[float]:
        """Return the AP at percentages of IoU; NaN for those that are no threshold."""
        known = self.separate
        return [float(ap[known[at]]) if at in known else np.nan for at in percentages]

    def _of_class(self, function: Callable, label: int):
        """Apply `function` to the true segments of a class and the proposals of its videos."""
        nothing = np.zeros((0, 3))
        return function(
            [video.true_segments[video.labels == label] for video in self.videos],
            [video.proposals if video.label == label else nothing for video in self.videos],
        )


@dataclass
class ActionMetrics(ProposalMetrics):
    """AR, AUC and mAP of segments with classes.

    AR and AUC ignore the classes. The AP of a class is that of the segments with this class.

    Attributes:
      detect: function from the predictions of a sample, without batch axis, to segments (n, 4):
        start and end in seconds, score, and number of the class.
    """

    def _of_class(self, function: Callable, label: int):
        return function(
            [video.true_segments[video.labels == label] for video in self.videos],
            [video.proposals[video.proposals[:, 3] == label, :3] for video in self.videos],
        )


class Recall(NamedTuple):
    """Recall of 1 % to 100 % of the proposals.

    Attributes:
      mean: (100,), mean over the thresholds.
      each: (i, 100), recall at each threshold.
      count: (100,), mean number of proposals per video.
    """

    mean: np.ndarray
    each: np.ndarray
    count: np.ndarray

    @property
    def auc(self) -> float:
        """Return the area under `mean` over `count`, as a share of its maximum; 0 if count is 0."""
        return float(np.trapezoid(self.mean, self.count) / max(self.count[-1], 1e-12))

    def at(self, percent: int) -> float:
        """Return the mean recall at a percentage: as published, AR@5 is at 5 % of 100 proposals."""
        return float(self.mean[percent - 1])


def average_recall(
    true_segments: Sequence[np.ndarray],
    proposals: Sequence[np.ndarray],
    limit: float | None = None,
    thresholds: np.ndarray = THRESHOLDS,
) -> Recall:
    """Return the recall of true segments for growing shares of the proposals ("AR@AN").

    The same share of the proposals of each video is used. `limit` is the mean of their numbers, not
    the number for each video.

    Args:
      true_segments: (k, 2) for each video.
      proposals: (n, 3) for each video.
      limit: mean number of proposals per video; None uses all.
      thresholds: (i,), thresholds of IoU.

    Raises:
      UserError: there is no true segment.
    """
    videos, total = len(true_segments), sum(map(len, proposals))
    positives = sum(map(len, true_segments))
    if not positives:
        raise UserError("recall needs a true segment")
    limit = total / videos if limit is None else limit
    ratio = limit * videos / max(total, 1)
    overlaps = []
    for segments, found in zip(true_segments, proposals, strict=True):
        found = found[np.argsort(found[:, 2], kind="stable")[::-1]].astype(np.float32)
        found = found[: min(int(len(found) * ratio), len(found)), :2]
        overlaps.append(iou(segments[:, None].astype(np.float32), found))
    retrieved = sum(overlap.shape[1] for overlap in overlaps)
    shares = np.arange(1, 101) / 100 * (limit * videos / max(retrieved, 1))
    hits = np.zeros((len(thresholds), len(shares)))
    for overlap in overlaps:
        best = np.maximum.accumulate(np.pad(overlap, ((0, 0), (1, 0))), 1)  # of the first 0, 1 ...
        taken = np.minimum((overlap.shape[1] * shares).astype(int), overlap.shape[1])
        hits += (best[:, taken] >= thresholds[:, None, None]).sum(1)
    each = hits / positives
    return Recall(each.mean(0), each, shares * (retrieved / videos))


def average_precision(
    true_segments: Sequence[np.ndarray],
    detections: Sequence[np.ndarray],
    thresholds: np.ndarray = THRESHOLDS,
) -> np.ndarray:
    """Return the average precision of one class at each threshold (i,); NaN without true segments.

    Detections of all videos are sorted by score. Each gets the true segment with the largest
    overlap that no other detection has. It is wrong if no such segment reaches the threshold.

    Args:
      true_segments: (k, 2) for each video.
      detections: (n, 3) for each video.
      thresholds: (i,), thresholds of IoU.
    """
    positives = sum(map(len, true_segments))
    if not positives:
        return np.full(len(thresholds), np.nan)
    owner = [video for video, found in enumerate(detections) for _ in found]
    rows = np.concatenate([np.zeros((0, 3)), *detections])
    right = np.zeros((len(thresholds), len(rows)), bool)
    free = [np.ones((len(thresholds), len(segments)), bool) for segments in true_segments]
    for place, row in enumerate(np.argsort(rows[:, 2], kind="stable")[::-1].tolist()):
        segments, left = true_segments[owner[row]], free[owner[row]]
        if len(segments):
            overlap = np.where(left, iou(rows[row, :2], segments), -1)
            best = overlap.argmax(1)
            right[:, place] = overlap.max(1) >= thresholds
            left[right[:, place], best[right[:, place]]] = False
    found = right.cumsum(1)
    precision, recall = found / np.arange(1, len(rows) + 1), found / positives
    return np.array([interpolated_precision(*pair) for pair in zip(precision, recall, strict=True)])


def interpolated_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    """Return the area under the interpolated precision-recall curve.

    Args:
      precision: (n,).
      recall: (n,), increasing.
    """
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * best).sum())


def random_proposals(rng: np.random.Generator, count: int, duration: float) -> np.ndarray:
    """Return random proposals (count, 3) with uniform times and scores, as a baseline."""
    ends = np.sort(rng.uniform(0, duration, (count, 2)), 1)
    return np.concatenate([ends, rng.random((count, 1))], 1)


def beside_chance(metric: Any, preds: Mapping[str, np.ndarray], keep: int) -> list[str]:
    """Update a metric and return a line for each value, with that of random proposals in brackets.

    Args:
      metric: a metric with a field `detect`.
      preds: predictions of all samples, with `duration` (n,).
      keep: number of random proposals of a sample.
    """
    rng = np.random.default_rng(0)
    chance = replace(metric, detect=lambda p: random_proposals(rng, keep, p["duration"]))
    for each in (metric, chance):
        each.update({**preds, "mask": np.ones(len(preds["duration"]))})
    values, others = metric.compute(), chance.compute()
    width = max(map(len, values))
    return [f"  {key:<{width}} {values[key]:7.2%}  ({others[key]:.2%})" for key in values]


def diagnose(videos: Sequence[Video]) -> list[str]:
    """Return a sentence for each possible fault of the proposals or files.

    Args:
      videos: videos with true segments.
    """
    found = []
    if without := sum(not len(video.proposals) for video in videos):
        found.append(f"{without:,} of {len(videos):,} videos have no proposal")
    if broken := sum(not np.isfinite(video.proposals).all() for video in videos):
        found.append(
            f"proposals of {broken:,} of {len(videos):,} videos have scores that are NaN or"
            " infinite: training diverged, or the weights are damaged"
        )
    filled = [video for video in videos if len(video.proposals)]
    late = [(v.true_segments[:, 0] >= v.proposals[:, 1].max()) for v in filled]
    if late and (share := float(np.concatenate(late).mean())) > 0.5:
        found.append(
            f"{share:.0%} of the true segments start after the end of the last proposal of their"
            " video: are they in frames, where seconds are wanted, or is the duration too short?"
        )
    return found
