"""Metrics of actions in boxes of key frames: mean average precision by frame. Host-side numpy.

A box is matched to the true box of its class with the largest overlap. It is correct if their IoU
is at least 0.5 and no box with a higher score has that true box. All values are fractions, 0..1.

Shapes: n proposals and k true boxes of a key frame, c classes.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from jaxvid.errors import UserError
from jaxvid.log import warn_once
from jaxvid.metrics.localization import interpolated_precision

logger = logging.getLogger(__name__)

IOU = 0.5
DIGITS = 4  # decimals of scores, as in the csv files of AVA's evaluation
SUSPICIOUS = 0.05  # if the mAP is lower, its cause is searched
ENOUGH = 2000  # number of frames in which the cause is searched

Group = tuple[str, int, int]


class Frame(NamedTuple):
    """One key frame.

    Attributes:
      scores: (n, c).
      boxes: (n, 4), x1 y1 x2 y2 in pixels.
      true_boxes: (k, 4).
      labels: (k, c), 0/1.
      clip: number of its video.
      time: time in the video.
      tube: (k,), number of the tube of each true box, if known.
    """

    scores: np.ndarray
    boxes: np.ndarray
    true_boxes: np.ndarray
    labels: np.ndarray
    clip: int
    time: float
    tube: np.ndarray | None = None


class ClassRow(NamedTuple):
    """One class of a report; NaN if it has no true box."""

    name: str
    n: int  # true boxes
    ap: float


@dataclass
class Frames:
    """Collects the key frames of an evaluation, and numbers of true boxes outside of them.

    Attributes:
      excluded: (c,), number of true boxes of each class that are in no key frame.
    """

    num_classes: int
    frames: list[Frame] = field(default_factory=list, init=False)
    excluded: np.ndarray = field(init=False)

    def __post_init__(self):
        self.excluded = np.zeros(self.num_classes, int)

    def update(self, preds: Mapping[str, Any]) -> None:
        """Add a batch of predictions.

        Args:
          preds: score (b, n, c), proposals (b, n, 4), proposal_mask (b, n); boxes (b, k, 4),
            box_label (b, k, c), box_mask (b, k); clip, time, mask (b,). Optional: excluded (b, c),
            tube (b, k).
        """
        for row in np.flatnonzero(np.asarray(preds["mask"]) > 0):
            found, real = preds["proposal_mask"][row] > 0, preds["box_mask"][row] > 0
            self.frames.append(
                Frame(
                    np.asarray(preds["score"][row], np.float32)[found],
                    preds["proposals"][row][found],
                    preds["boxes"][row][real],
                    preds["box_label"][row][real] > 0,
                    int(preds["clip"][row]),
                    float(preds["time"][row]),
                    preds["tube"][row][real] if "tube" in preds else None,
                )
            )
            if "excluded" in preds:
                self.excluded += preds["excluded"][row]

    def counts(self) -> np.ndarray:
        """Return the number of true boxes of each class, int (c,).

        Raises:
          UserError: there is no true box.
        """
        found = sum((f.labels.sum(0) for f in self.frames), np.zeros(self.num_classes, int))
        if not found.any():
            raise UserError("nothing to evaluate: no key frame of the split has a box")
        return found


@dataclass
class AvaMAP(Frames):
    """mAP as MMAction2 evaluates AVA, with its quirks.

    Scores above `least` count, with four digits. A class without any such score is left out of the
    mean instead of counting 0. True boxes count where they are on the list of excluded times, too.

    Attributes:
      unscored: classes that are left out.
      groups: (name, first, last class) of means that are reported as "map_NAME".
      corrected: report "map_corrected" beside it, without those quirks.
      least: the highest score that does not count.
    """

    unscored: Sequence[int] = ()
    groups: Sequence[Group] = ()
    corrected: bool = False
    least: float = 0.002

    @property
    def larger_is_better(self) -> tuple[str, ...]:
        groups = (f"map_{name}" for name, _, _ in self.groups)
        return ("map", *groups, *(["map_corrected"] if self.corrected else []))

    def compute(self) -> dict[str, float]:
        """Return {"map", optional "map_GROUP", "map_corrected"}. Warns of causes of a low mAP."""
        each = self.average_precision()
        values = {"map": mean(each)}
        for name, first, last in self.groups:
            if not np.isnan(part := each[first : last + 1]).all():
                values[f"map_{name}"] = mean(part)
        if self.corrected:
            values["map_corrected"] = mean(self.corrected_precision())
        warn_if_low(values["map"], self.frames, self.least)
        return values

    def average_precision(self) -> np.ndarray:
        """Return the AP (c,) with the quirks; NaN for classes that are left out."""
        seen = [above(f.scores, self.least) for f in self.frames]
        each = class_precision(self.frames, seen, self.counts() + self.excluded)
        each[~np.any([np.isfinite(s).any(0) for s in seen], axis=0)] = np.nan
        each[list(self.unscored)] = np.nan
        return each

    def corrected_precision(self) -> np.ndarray:
        """Return the AP (c,) without the quirks; NaN for classes without true boxes or unscored."""
        each = class_precision(self.frames, [f.scores for f in self.frames], self.counts())
        each[list(self.unscored)] = np.nan
        return each

    def per_class(self, names: Sequence[str]) -> list[ClassRow]:
        """Return a row for each class, in class order, with the quirks."""
        counts = (self.counts() + self.excluded).tolist()
        return list(map(ClassRow, names, counts, self.average_precision().tolist()))


def above(scores: np.ndarray, least: float) -> np.ndarray:
    """Return rounded scores, -inf for those that are at most `least`."""
    return np.where(scores > least, np.round(scores, DIGITS), -np.inf)


def class_precision(
    frames: Sequence[Frame], scores: Sequence[np.ndarray], counts: np.ndarray
) -> np.ndarray:
    """Return the average precision of each class (c,); NaN for a class without a true box.

    Args:
      frames: the key frames.
      scores: (n, c) for each frame, -inf if a box is not predicted as a class.
      counts: (c,), number of true boxes of each class.
    """
    every = np.concatenate([np.zeros((0, len(counts))), *scores])
    found = [hits(f, s) for f, s in zip(frames, scores, strict=True)]
    right = np.concatenate([np.zeros((0, len(counts)), bool), *found])
    each = np.full(len(counts), np.nan)
    for c in np.flatnonzero(counts):
        said = np.isfinite(every[:, c])
        each[c] = ranked_precision(every[said, c], right[said, c], counts[c])
    return each


def hits(frame: Frame, scores: np.ndarray) -> np.ndarray:
    """Return bool (n, c), which boxes are correct for a class. Boxes with score -inf come last."""
    right = np.zeros(scores.shape, bool)
    overlap = iou(frame.boxes, frame.true_boxes)
    for c in np.flatnonzero(frame.labels.any(0)):
        right[:, c] = found_first(overlap[:, frame.labels[:, c]], scores[:, c], IOU)
    return right


def found_first(overlap: np.ndarray, scores: np.ndarray, least: float) -> np.ndarray:
    """Return bool (n,), which boxes get a true box (k), the highest score first.

    Args:
      overlap: (n, k).
      scores: (n,).
      least: minimum overlap.
    """
    right = np.zeros(len(scores), bool)
    if not overlap.size:
        return right
    nearest, taken = overlap.argmax(1), set()
    able = overlap.max(1) >= least
    for i in np.argsort(-scores, kind="stable"):
        if able[i] and nearest[i] not in taken:
            taken.add(nearest[i])
            right[i] = True
    return right


def ranked_precision(scores: np.ndarray, right: np.ndarray, count: int) -> float:
    """Return the area under the precision-recall curve.

    Args:
      scores: (n,).
      right: bool (n,), which of them are correct.
      count: number of true boxes.
    """
    right = right[np.argsort(-scores, kind="stable")].cumsum()
    return interpolated_precision(right / np.arange(1, len(right) + 1), right / count)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the IoU (n, k) of boxes (n, 4) and (k, 4); 0 for boxes without area."""
    return paired_iou(np.asarray(a)[:, None], np.asarray(b))


def paired_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the IoU (...) of boxes (..., 4) and (..., 4), which are broadcast."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(sides, 0).prod(-1)
    joint = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    return shared / np.maximum(joint, 1e-12)


def mean(values: np.ndarray) -> float:
    """Return the mean of the values that are not NaN; 0 if all are NaN."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


# Why a mAP is so low


def warn_if_low(value: float, frames: Sequence[Frame], least: float = -np.inf) -> None:
    """Warn of possible causes of a low mAP. For `least`, see `diagnose`."""
    if value < SUSPICIOUS and (reasons := diagnose(frames, least)):
        explained = "\n  ".join(reasons)
        warn_once(logger, f"mAP is {value:.2%}:\n  {explained}")


def diagnose(frames: Sequence[Frame], least: float) -> list[str]:
    """Return a sentence for each possible fault of the files or scores.

    Args:
      frames: the key frames.
      least: scores up to this do not count.
    """
    frames = sorted(frames, key=lambda f: (f.clip, f.time))[:ENOUGH]
    found = unproposed(frames)
    scores = np.concatenate([f.scores for f in frames])
    finite = np.isfinite(scores)
    if broken := int((~finite).any(1).sum()):
        found.append(
            f"scores of {broken:,} of {len(scores):,} boxes are NaN or infinite: training diverged,"
            " or the weights are damaged"
        )
    if not (scores > least).any():
        if finite.any():
            found.append(
                f"no score is above {least:g}, from where they count; the highest of"
                f" {len(scores):,} boxes is {scores[finite].max():.2g}: training was too short, or"
                " it diverged"
            )
        return found
    if (share := covered(frames, frames)) < 0.5:
        return [*found, *misplaced(frames, share)]
    return [*found, *misnumbered(frames, least)]


def unproposed(frames: Sequence[Frame]) -> list[str]:
    """Return a sentence on key frames without a proposal, or with only one of the whole frame."""
    found, far = [], {}
    if without := sum(not len(f.boxes) for f in frames):
        found.append(
            f"{without:,} of {len(frames):,} key frames have no proposal, so that nobody can be"
            " recognized there"
        )
    for f in frames:
        corners = np.concatenate([f.boxes, f.true_boxes])[:, 2:].max(0, initial=0)
        far[f.clip] = np.maximum(far.get(f.clip, 0), corners)
    whole = sum(
        len(f.boxes) == 1 and np.allclose(f.boxes[0], [0, 0, *far[f.clip]]) and not same(f)
        for f in frames
    )
    if whole:
        found.append(
            f"{whole:,} of {len(frames):,} key frames have the whole frame as their only"
            " proposal, as where the file of proposals has none"
        )
    return found


def same(frame: Frame) -> bool:
    """Return whether the proposals of a key frame are its true boxes."""
    return np.array_equal(frame.boxes, frame.true_boxes)


def misplaced(frames: Sequence[Frame], share: float) -> list[str]:
    """Return a sentence on why only a `share` of the true boxes overlap a proposal."""
    filled = [f for f in frames if len(f.boxes)]
    found = [f"{share:.0%} of the true boxes overlap a proposal by {IOU:g} or more"]
    size, true_size = extent([f.boxes for f in filled]), extent([f.true_boxes for f in filled])
    if size and true_size and not 0.05 < size / true_size < 20:
        found.append(
            f"proposals are {size:.3g} pixels wide and true boxes {true_size:.3g}: one of the"
            " files has pixels where shares of the frame, 0..1, are wanted"
        )
    other, step = shifted(frames)
    if other > max(2 * share, 0.1):
        found.append(
            f"proposals fit the true boxes {abs(step):g} {'later' if step > 0 else 'earlier'}"
            f" ({other:.0%} of them): times of one of the files are off"
        )
    return found


def misnumbered(frames: Sequence[Frame], least: float) -> list[str]:
    """Return a sentence if the scores fit the classes before or after the true ones."""
    scores, counts = [above(f.scores, least) for f in frames], sum(f.labels.sum(0) for f in frames)
    means = {}
    for step in (-1, 0, 1):
        moved = [f._replace(labels=np.roll(f.labels, step, 1)) for f in frames]
        means[step] = mean(class_precision(moved, scores, np.roll(counts, step)))
    step = max(means, key=lambda key: means[key])
    if means[step] > max(3 * means[0], 0.1):
        return [
            f"scores fit the classes {'after' if step > 0 else 'before'} the true ones (mAP"
            f" {means[step]:.0%}): one of the files numbers classes from 0 and one from 1; see"
            " first_class of the source"
        ]
    return []


def covered(true_boxes: Sequence[Frame], boxes: Sequence[Frame]) -> float:
    """Return the share of true boxes that a proposal of the paired frame overlaps by enough."""
    best = [
        iou(b.boxes, t.true_boxes).max(0, initial=0)
        for t, b in zip(true_boxes, boxes, strict=True)
        if len(t.true_boxes)
    ]
    return float((np.concatenate(best) >= IOU).mean()) if best else 0.0


def shifted(frames: Sequence[Frame]) -> tuple[float, float]:
    """Return `covered` with true boxes of the best neighboring frame, and the delay of that frame.

    Args:
      frames: key frames, sorted by video and time.
    """
    found = [(0.0, 0.0)]
    for step in (-2, -1, 1, 2):
        pairs = zip(frames[max(step, 0) :], frames[max(-step, 0) :], strict=False)
        same = [(t, b) for t, b in pairs if t.clip == b.clip]
        if same:
            times = [t.time - b.time for t, b in same]
            found.append((covered(*zip(*same, strict=True)), float(np.median(times))))
    return max(found)


def extent(boxes: Sequence[np.ndarray]) -> float:
    """Return the median width of boxes."""
    joined = np.concatenate([np.zeros((0, 4)), *boxes])
    return float(np.median(joined[:, 2] - joined[:, 0])) if len(joined) else 0.0
