"""Temporal detection: start, end and class of actions in untrimmed videos, from points in time.

The points are those of a pyramid (ActionFormer, Zhang et al., 2022; TriDet, Shi et al., 2023).

Shapes: b batch, k segments of a video, t rows of features, c channels, n points of all levels, m
classes, or 1 for all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Count, NonNegative, Positive, Probability, Rate
from jaxvid.metrics.localization import ActionMetrics, ProposalMetrics
from jaxvid.ops import losses, points
from jaxvid.ops.proposals import suppress, vote
from jaxvid.results import Localized
from jaxvid.tasks.base import Report, SampleLabels

RANGES = ((0.0, 4.0), (4.0, 8.0), (8.0, 16.0), (16.0, 32.0), (32.0, 64.0), (64.0, 10000.0))
MOMENTUM = 0.9  # share of `normalizer` in the divisor of a loss
Thresholds = tuple[Probability, ...]


@dataclass(frozen=True, kw_only=True)
class TemporalDetection:
    """Points learn the class of the action around them, and their distances to its ends.

    The batch has `feature` (b, t, c) with `rows` (b,) rows, the others being padding; `row_time`
    and `row_step` (b,), the time of the first row and the time between rows in seconds; and what is
    to be detected: `segments` (b, k, 2) in seconds with `segment_label` (b, k), -1 for padding.

    Attributes:
      num_classes: Number of classes of the data.
      agnostic: The model predicts one score for all classes, as with `config.model.agnostic`. The
        segments have no class, and mAP uses the true label of each video.
      ranges: (low, high) for each level of the pyramid: the longer one of the distances of a point
        to the start and to the end of an action that it learns, in rows.
      radius: Largest distance of a point to the middle of an action that it learns, in strides; 0
        means the whole action.
      smoothing: Label smoothing.
      normalizer: Usual number of points of a batch that learn an action. The loss of a batch is
        divided by 0.9 of it and 0.1 of the true number. The authors' code adapts it in training,
        which changes little, because gradients are clipped and AdamW ignores their scale.
      iou_power: The classification loss of a point that learns an action is multiplied by this
        power of the IoU of its segment, as in TriDet. 0 turns this off.
      low: Segments with this score or less are left out.
      shortest: Segments of this number of rows or fewer are left out.
      candidates: Largest number of segments of each level before suppression.
      sigma: Strength of soft non-maximum suppression: a score is multiplied by exp(-IoU^2 / sigma).
      by_class: Segments suppress those of the same class only.
      vote: Each segment becomes the mean of those that overlap it by at least this IoU before
        suppression, weighted by their scores. It needs `by_class=False`. 0 turns it off.
      keep: Maximum number of segments of a video.
      thresholds: Thresholds of IoU for mAP.
    """

    compares: ClassVar[bool] = False
    sample_labels: ClassVar[SampleLabels] = "other"
    label_shape: ClassVar[tuple[int, ...]] = ()

    num_classes: int
    agnostic: bool = False
    ranges: tuple[tuple[NonNegative, NonNegative], ...] = RANGES
    radius: NonNegative = 1.5
    smoothing: Rate = 0.0
    normalizer: Positive = 100.0
    iou_power: NonNegative = 0.0
    low: Probability = 0.001
    shortest: NonNegative = 0.05
    candidates: Count = 2000
    sigma: Positive = 0.5
    by_class: bool = True
    vote: Probability = 0.0
    keep: Count = 200
    thresholds: Thresholds = (0.3, 0.4, 0.5, 0.6, 0.7)

    def prepare(self, rng, batch, train):
        if "segments" not in batch:  # a video to predict
            return batch
        first, step = (batch[key][:, None, None] for key in ("row_time", "row_step"))
        segments = (batch["segments"] - first) / jnp.maximum(step, 1e-6)  # skipped samples have 0
        labels = batch["segment_label"]
        labels = jnp.minimum(labels, 0) if self.agnostic else labels
        rows = batch["feature"].shape[1]
        target = points.assign(segments, labels, rows, self._outputs, self.ranges, self.radius)
        seen = self._seen(batch["rows"], rows)
        counts = ((target.classes.max(-1) > 0) & seen).sum(1) * (batch["mask"] > 0)
        if train:
            total = jnp.maximum(counts.sum(), 1)
            normalizer = MOMENTUM * self.normalizer + (1 - MOMENTUM) * total
            weight = jnp.full(len(counts), jnp.maximum((batch["mask"] > 0).sum(), 1) / normalizer)
        else:
            weight = 1 / jnp.maximum(counts, 1)
        found = {"classes": target.classes, "offsets": target.offsets, "seen": seen}
        return batch | found | {"weight": weight}

    @property
    def _outputs(self):
        return 1 if self.agnostic else self.num_classes

    def _seen(self, rows, steps):
        """Return which points (b, n) are no padding."""
        return points.places(steps, len(self.ranges))[0] < rows[:, None]

    def inputs(self, batch):
        return {"feature": batch["feature"], "rows": batch["rows"]}

    def loss(self, out, batch):
        logits, offsets = (jnp.concatenate(x, 1) for x in (out.logits, out.offsets))
        target, seen = batch["classes"], batch["seen"]
        true = batch["offsets"][:, :, None]
        each = offsets.shape[2] > 1  # the distances of each class
        learned = (target if each else target.max(-1, keepdims=True)) * seen[..., None] > 0
        # Points that learn nothing get the true distances: theirs could have no gradient.
        offsets = jnp.where(learned[..., None], offsets, true)
        smooth = target * (1 - self.smoothing) + self.smoothing / (self._outputs + 1)
        classes = losses.sigmoid_focal(logits, smooth)
        if self.iou_power:
            quality = jnp.maximum(points.iou(offsets, true), 1e-8) ** self.iou_power
            classes = classes * jnp.where(target > 0, jnp.where(learned, quality, 1), 1)
        distances = jnp.where(learned, points.distance_iou_loss(offsets, true), 0)

        def mean(x):
            return losses.masked_mean(x.sum((1, 2)) * batch["weight"], batch["mask"])

        terms = {
            "class_loss": mean(classes * seen[..., None]),
            "distance_loss": mean(distances),
        }
        return sum(terms.values()), terms

    def predict(self, out, batch):
        """Return `candidates` (b, k, 4): start and end in seconds, score, number of the class."""
        found = []
        for level, (logits, offsets) in enumerate(zip(out.logits, out.offsets, strict=True)):
            at = jnp.arange(logits.shape[1]) * 2**level
            scores = jax.nn.sigmoid(logits) * (at < batch["rows"][:, None])[..., None]
            limits = self.candidates, self.low, self.shortest
            found.append(points.candidates(scores, offsets, level, *limits))
        found = jnp.concatenate(found, 1)
        times = found[..., :2] * batch["row_step"][:, None, None] + batch["row_time"][:, None, None]
        times = jnp.clip(times, 0, batch["duration"][:, None, None])
        kept = ("segments", "segment_label", "duration")
        return {"candidates": jnp.concatenate([times, found[..., 2:]], -1)} | {
            k: batch[k] for k in kept if k in batch
        }

    def proposals(self, preds: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the segments of one video, best first.

        Args:
          preds: what `predict` returned, without a batch axis.

        Returns:
          (n, 4): start and end in seconds, score, and number of the class. Without the class if the
          model predicts none.
        """
        rows = np.asarray(preds["candidates"], np.float64)
        rows = rows[(rows[:, 2] > 0) & (rows[:, 1] > rows[:, 0])]
        groups = [rows[rows[:, 3] == c] for c in np.unique(rows[:, 3])] if self.by_class else [rows]
        kept = [self._suppressed(group) for group in groups if len(group)]
        found = np.concatenate([np.zeros((0, 4)), *kept])
        found = found[np.argsort(-found[:, 2], kind="stable")][: self.keep]
        return found[:, :3] if self.agnostic else found

    def _suppressed(self, rows: np.ndarray) -> np.ndarray:
        """Return the best of rows (n, 4), with scores that are lower where segments overlap."""
        taken, scores = suppress(
            rows[:, :2],
            rows[:, 2],
            alpha=self.sigma,
            low=0.0,
            high=0.0,
            keep=self.keep,
            least=self.low,
        )
        found = rows[taken]
        if self.vote and not self.by_class:
            found[:, :2] = vote(found[:, :2], rows[:, :2], rows[:, 2], self.vote)
        found[:, 2] = scores
        return found

    def metrics(self):
        kind = ProposalMetrics if self.agnostic else ActionMetrics
        limit = min(self.keep, 100)
        return (kind(self.proposals, self.num_classes, limit, np.array(self.thresholds)),)

    def describe(self, preds, names, topk):
        found = self.proposals(preds)[: topk or 10]
        labels = ["action"] * len(found) if self.agnostic else [names[int(r[3])] for r in found]
        return Localized.of(found, labels, preds["duration"])

    def report(self, preds, ids, names):
        """Return the segments in ActivityNet's format, a row for each class, and the metrics."""
        metric = self.metrics()[0]
        metric.update({**preds, "mask": np.ones(len(ids))})
        found = {
            name: [
                {
                    "label": "action" if self.agnostic else names[int(row[3])],
                    "score": row[2],
                    "segment": row[:2],
                }
                for row in video.proposals.tolist()
            ]
            for name, video in zip(ids, metric.videos, strict=True)
        }
        table = metric.per_class(names)
        lines = [f"  {name:<6} {value:7.2%}" for name, value in metric.compute().items()]
        return Report(
            {
                "predictions.json": {"version": "VERSION 1.3", "results": found},
                "report.csv": [type(table[0])._fields, *table],
            },
            lines,
        )


build = TemporalDetection
