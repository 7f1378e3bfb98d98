"""Metrics of clip recognition, for one or several classes per clip, in NumPy on the host.

Scores can be logits or probabilities, because only their order matters: within a sample for one
label, and within a class for several labels. All values are fractions from 0 to 1.

Shape letters: b samples of a batch, n samples, c classes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxvid.errors import UserError


class _Rows:
    """Collects the score and label of every sample. Samples with mask 0 are dropped."""

    def __init__(self, num_classes: int):
        self.num_classes = num_classes
        self._scores: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []

    def update(self, preds: dict[str, Any]) -> None:
        """Take a batch: score (b, c), label (b,) or (b, c), mask (b,)."""
        valid = np.asarray(preds["mask"]) > 0
        scores = np.asarray(preds["score"], np.float32)[valid]
        if scores.shape[1] != self.num_classes:
            raise UserError(
                f"the model scores {scores.shape[1]} classes, the metric expects "
                f"{self.num_classes}: set data.num_classes"
            )
        self._scores.append(scores)
        self._labels.append(np.asarray(preds["label"])[valid])

    def _collected(self) -> tuple[np.ndarray, np.ndarray]:
        if not any(map(len, self._scores)):
            raise UserError("nothing to evaluate: the split is empty or no sample could be read")
        return np.concatenate(self._scores), np.concatenate(self._labels)


class Accuracy(_Rows):
    """Top-k and mean class accuracy of single-label samples.

    A k that every prediction satisfies (k >= num_classes) is left out of the result.
    """

    def __init__(self, num_classes: int, topk: Sequence[int] = (1, 5)):
        super().__init__(num_classes)
        self.topk = tuple(k for k in topk if k == 1 or k < num_classes)

    @property
    def larger_is_better(self) -> tuple[str, ...]:
        return (*(f"top{k}" for k in self.topk), "mean_class")

    def compute(self) -> dict[str, float]:
        """{"top1", "top5", "mean_class"}, for the default `topk`."""
        scores, labels = self._collected()
        values = {f"top{k}": top_k_accuracy(scores, labels, k) for k in self.topk}
        return values | {"mean_class": mean_class_accuracy(scores, labels)}


class MultiLabelMAP(_Rows):
    """Mean average precision over the classes ("map") and over the samples ("mmit_map").

    With categories, pairs (name, number of classes) in the order of the classes, also of each of
    them ("map_NAME"), and "map" is their mean: HVU's metric (Diba et al. 2020). Categories without
    a positive are left out.
    """

    def __init__(self, num_classes: int, categories: Sequence[tuple[str, int]] = ()):
        super().__init__(num_classes)
        self.categories = categories
        self._known: list[np.ndarray] = []

    @property
    def larger_is_better(self) -> tuple[str, ...]:
        return ("map", *(f"map_{name}" for name, _ in self.categories), "mmit_map")

    def update(self, preds: dict[str, Any]) -> None:
        """Take a batch like `_Rows.update`. Entries with 0 in `label_mask` (b, c) are ignored."""
        super().update(preds)
        self._labels[-1] = self._labels[-1] > 0  # a quarter of the memory, which HVU needs
        known = np.asarray(preds.get("label_mask", np.ones_like(preds["label"]))) > 0
        self._known.append(known[np.asarray(preds["mask"]) > 0])

    def compute(self) -> dict[str, float]:
        scores, labels = self._collected()
        known = np.concatenate(self._known)
        found, start = {}, 0
        for name, count in self.categories:
            own, start = slice(start, start + count), start + count
            value = mean_average_precision(scores[:, own], labels[:, own], known[:, own])
            found |= {} if np.isnan(value) else {f"map_{name}": value}
        whole = mean_average_precision(scores, labels, known)
        return {
            "map": float(np.mean(list(found.values()))) if found else whole,
            **found,
            "mmit_map": sample_mean_average_precision(scores, labels, known),
        }


def top_k_hits(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> np.ndarray:
    """Return whether the label of each sample is among the k best of `scores` (n, c), bool (n,).

    For equal scores, the lower class is better, as for argmax. A label with score NaN is never
    among the best, so that a diverged model does not look perfect.
    """
    labels = _in_range(labels, scores.shape[1])
    own = np.take_along_axis(scores, labels[:, None], 1)
    later = np.arange(scores.shape[1]) >= labels[:, None]
    behind = (scores < own) | ((scores == own) & later)  # itself included
    return scores.shape[1] - behind.sum(1) < k


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Return the share of samples whose label (n,) is among the k best of `scores` (n, c)."""
    return float(top_k_hits(scores, labels, k).mean())


def mean_class_accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean top-1 recall of the classes, for scores (n, c) and labels (n,).

    As in MMAction2, a class that is predicted but has no sample counts as 0. A class that is not
    predicted and has no sample does not count.
    """
    c = scores.shape[1]
    hits = np.bincount(labels, top_k_hits(scores, labels), minlength=c)
    counts = np.bincount(labels, minlength=c)
    occurs = (counts > 0) | (np.bincount(scores.argmax(1), minlength=c) > 0)
    return float((hits / np.maximum(counts, 1))[occurs].mean())


def top_k_classes(
    scores: np.ndarray, labels: np.ndarray, k: int, worst: bool = False
) -> list[tuple[int, float]]:
    """Return the k classes with the highest or lowest top-1 recall, as (class, recall).

    Classes without a sample are left out. For equal recalls, the higher class comes first, or with
    `worst`, the lower class.
    """
    c = scores.shape[1]
    counts = np.bincount(labels, minlength=c)
    present = np.flatnonzero(counts)
    recall = np.bincount(labels, top_k_hits(scores, labels), minlength=c)[present] / counts[present]
    order = np.argsort(recall, kind="stable")
    order = order[:k] if worst else order[::-1][:k]
    return [(int(present[i]), float(recall[i])) for i in order]


def confusion_matrix(
    pred: np.ndarray, label: np.ndarray, num_classes: int, normalize: str | None = None
) -> np.ndarray:
    """Return how often each class (row) was predicted as each class (column), (c, c).

    Args:
      pred, label: int (n,).
      normalize: None for counts (int64), or float64 shares of each "true" class (rows add up to
        1), of each "pred" class (columns do) or of "all" samples. An empty class has zeros.

    Raises:
      UserError: a class outside 0..c-1.
    """
    pred, label = _in_range(pred, num_classes, "prediction"), _in_range(label, num_classes)
    flat = np.bincount(label * num_classes + pred, minlength=num_classes**2)
    counts = flat.reshape(num_classes, num_classes)
    if normalize is None:
        return counts
    axis = {"true": 1, "pred": 0, "all": None}[normalize]
    return counts / np.maximum(counts.sum(axis, keepdims=True), 1)


class ClassRow(NamedTuple):
    """One class of a report. Shares of an empty set are NaN; `confusion` is "" without errors."""

    name: str
    n: int  # number of samples with this label
    recall: float  # share of these samples whose top-1 prediction is right
    precision: float  # share of the top-1 predictions of this class that are right
    confusion: str  # most frequent wrong prediction of these samples
    confused: int  # number of these wrong predictions


def per_class_report(
    scores: np.ndarray, labels: np.ndarray, names: Sequence[str] = ()
) -> list[ClassRow]:
    """Return a row for every class, in class order, for scores (n, c) and labels (n,).

    Without `names`, classes are named by their numbers. Raises UserError if the number of names is
    wrong.
    """
    c = scores.shape[1]
    names = list(names) or [str(i) for i in range(c)]
    if len(names) != c:
        raise UserError(f"there are {len(names)} class names for {c} classes")
    counts = confusion_matrix(scores.argmax(1), labels, c)
    wrong = counts - np.diag(counts.diagonal())
    rows = []
    for i, name in enumerate(names):
        right, labeled, predicted = counts[i, i], counts[i].sum(), counts[:, i].sum()
        other = int(wrong[i].argmax())
        rows.append(
            ClassRow(
                name,
                int(labeled),
                float(right / labeled) if labeled else float("nan"),
                float(right / predicted) if predicted else float("nan"),
                names[other] if wrong[i, other] else "",
                int(wrong[i, other]),
            )
        )
    return rows


class LabelRow(NamedTuple):
    """One class of a multi-label report. Shares of an empty set are NaN."""

    name: str
    n: int  # number of samples with this label
    average_precision: float
    recall: float  # share of these samples with a score of at least `threshold`
    precision: float  # share of the samples with such a score that have the label
    predicted: int  # number of samples with such a score


def per_label_report(
    scores: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    known: np.ndarray | None = None,
    threshold: float = 0.5,
) -> list[LabelRow]:
    """Return a row for every class, in class order, for scores and 0/1 labels (n, c).

    Args:
      known: (n, c), 0 for entries that are left out.
      threshold: minimum score, a probability, at which a label is predicted.
    """
    inside = np.ones(scores.shape, bool) if known is None else known > 0
    rows = []
    for i, name in enumerate(names):
        score, label = scores[inside[:, i], i], labels[inside[:, i], i] > 0
        chosen = score >= threshold
        right, count, predicted = (int(x.sum()) for x in (chosen & label, label, chosen))
        rows.append(
            LabelRow(
                name,
                count,
                average_precision(score, label) if count else float("nan"),
                right / count if count else float("nan"),
                right / predicted if predicted else float("nan"),
                predicted,
            )
        )
    return rows


def precision_recall_curve(
    scores: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall (t + 1,) and thresholds (t,) of one class: scores, 0/1 labels (n,).

    Thresholds are the distinct scores in rising order, from the highest that finds every positive;
    sample i is predicted where `scores[i] >= threshold`. The last point is precision 1, recall 0.
    Without a positive the recall is NaN.
    """
    order = np.argsort(-scores, kind="stable")
    scores, labels = scores[order], np.asarray(labels)[order] > 0
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of runs of equal scores
    found = np.cumsum(labels)[ends]
    ends, found = (v[: np.searchsorted(found, found[-1]) + 1][::-1] for v in (ends, found))
    recall = found / found[0] if found[0] else np.full(len(found), np.nan)
    return np.append(found / (ends + 1), 1.0), np.append(recall, 0.0), scores[ends]


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the area under the precision-recall steps of a class (n,); NaN without a positive."""
    precision, recall, _ = precision_recall_curve(scores, labels)
    return float(-np.sum(np.diff(recall) * precision[:-1]))


def mean_average_precision(
    scores: np.ndarray, labels: np.ndarray, known: np.ndarray | None = None
) -> float:
    """Return the mean of the average precision of the classes, for scores and 0/1 labels (n, c).

    Classes without a positive do not count. The result is NaN if no class has a positive. Entries
    that are 0 in `known` (n, c) are left out.
    """
    rows = np.ones(scores.shape, bool) if known is None else known > 0
    used = np.flatnonzero(((labels > 0) & rows).any(0))
    values = [average_precision(scores[rows[:, i], i], labels[rows[:, i], i]) for i in used]
    return float(np.mean(values)) if values else float("nan")


def sample_mean_average_precision(
    scores: np.ndarray, labels: np.ndarray, known: np.ndarray | None = None
) -> float:
    """Return the mean over samples of the average precision of their classes.

    Scores and 0/1 labels are (n, c). This is the metric of Multi-Moments in Time (Monfort et al.,
    2019). Samples without a label do not count. The result is NaN if no sample has a label.
    """
    return mean_average_precision(scores.T, labels.T, None if known is None else known.T)


def weighted_score(scores: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Return the weighted sum of the scores (n, c) of models, not divided by the sum of weights."""
    if len(scores) != len(weights):
        raise UserError(f"{len(scores)} scores to fuse need as many weights, not {len(weights)}")
    return sum(w * s for w, s in zip(weights, scores, strict=True))  # type: ignore[return-value]


def _in_range(labels: np.ndarray, num_classes: int, what: str = "label") -> np.ndarray:
    labels = np.asarray(labels)
    bad = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(bad):
        raise UserError(
            f"{what} {labels[bad[0]]} of sample {bad[0]} is outside 0..{num_classes - 1}"
        )
    return labels.astype(np.int64)
