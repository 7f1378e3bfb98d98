"""Temporal localization by proposals: start and end of actions in untrimmed videos.

`ProposalTask` has what the tasks share whose models propose segments, whatever their class.
Boundary-matching networks (Lin et al., 2019, BMN) score all segments.

Shapes: b batch, k segments of a video, t bins of time, d durations, s starts, c channels, n
proposals.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Count, NonNegative, Positive, Probability
from jaxvid.metrics.localization import ProposalMetrics, beside_chance
from jaxvid.ops import losses
from jaxvid.ops.boundary import valid_cells
from jaxvid.ops.proposals import peaks, soft_nms
from jaxvid.ops.segments import boundary_targets
from jaxvid.results import Localized
from jaxvid.tasks.base import Report, SampleLabels


@dataclass(frozen=True, kw_only=True)
class ProposalTask(ABC):
    """Proposals of segments: soft non-maximum suppression, metrics and reports.

    The batch has `feature` (b, t, c), `duration` (b,) in seconds, and the true segments:
    `segments` (b, k, 2) in seconds with `segment_label` (b, k), -1 for padding.

    Attributes:
      num_classes: of the data; the model knows none.
      alpha: Strength of soft non-maximum suppression: a score is multiplied by exp(-IoU^2 / alpha).
      low: Overlap (IoU) above which soft non-maximum suppression reduces the scores of the shortest
        segments.
      high: Overlap (IoU) above which soft non-maximum suppression reduces the scores of segments as
        long as the video.
      keep: Maximum number of proposals of a video.
    """

    compares: ClassVar[bool] = False
    sample_labels: ClassVar[SampleLabels] = "other"
    label_shape: ClassVar[tuple[int, ...]] = ()

    num_classes: int
    alpha: Positive = 0.4
    low: Probability = 0.5
    high: Probability = 0.9
    keep: Count = 100

    def prepare(self, rng, batch, train):
        if "segments" not in batch:  # a video to predict
            return batch
        if train:
            return batch | self._targets(rng, batch)

        # In evaluation, the loss of a video is that of a batch of this video alone.
        def alone(number, video):
            batch = jax.tree.map(lambda x: x[None], video)
            targets = self._targets(jax.random.fold_in(rng, number), batch)
            return jax.tree.map(lambda x: x[0], targets)

        numbers = batch.get("index", jnp.arange(len(batch["mask"])))
        return batch | jax.vmap(alone)(numbers, batch)

    @abstractmethod
    def _targets(self, rng, batch) -> dict[str, jax.Array]:
        """Return what the loss needs, with weights that are balanced over the batch.

        So the loss of a video is a sum, and the mean over videos is the loss of the batch, also
        when it goes through in micro-batches.
        """

    def inputs(self, batch):
        return {"feature": batch["feature"]}

    @abstractmethod
    def proposals(self, preds: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the proposals of a sample, best first: (n, 3), start and end in seconds, score."""

    def best(self, segments: np.ndarray, scores: np.ndarray, duration: float) -> np.ndarray:
        """Return the proposals that soft non-maximum suppression leaves, as `proposals` does.

        Args:
          segments: (n, 2), within 0..1.
          scores: (n,).
          duration: seconds of the video.
        """
        settings = dict(alpha=self.alpha, low=self.low, high=self.high)
        segments, values = soft_nms(segments, scores, **settings, keep=self.keep)
        order = np.argsort(-values, kind="stable")[: self.keep]
        return np.column_stack([np.clip(segments[order], 0, 1) * duration, values[order]])

    def metrics(self):
        return [ProposalMetrics(self.proposals, self.num_classes, self.keep)]

    def describe(self, preds, names, topk=None):
        """Return the `topk` (10) best proposals, named "action" if there are several classes."""
        found = self.proposals(preds)[: topk or 10]
        label = names[0] if len(names) == 1 else "action"
        return Localized.of(found, [label] * len(found), preds["duration"])

    def report(self, preds, ids, names):
        """Return a report with all proposals, a row per class, and a comparison with chance."""
        (ours,) = self.metrics()
        lines = beside_chance(ours, preds, self.keep)
        found = {
            name: [
                {"label": "action", "score": score, "segment": [start, end]}
                for start, end, score in video.proposals.tolist()
            ]
            for name, video in zip(ids, ours.videos, strict=True)
        }
        table = ours.per_class(names)
        return Report(
            {
                "predictions.json": {"version": "VERSION 1.3", "results": found},
                "report.csv": [type(table[0])._fields, *table],
            },
            ["with random proposals in brackets; mAP with the true label of each video", *lines],
        )


def bin_weights(target, mask):
    """Return the weights of the log loss of bins that are positive above 0.5: (b, 2, t).

    Args:
      target: (b, t), share of each bin that is covered.
      mask: (b,), 0 for samples that do not count.
    """
    count = jnp.maximum(mask.sum(), 1)
    entries = count * target.shape[1]
    positive = (target > 0.5) * mask[:, None]
    weights = losses.balanced_weights(positive, target <= 0.5, entries)
    return jnp.stack(weights, 1) * (count / entries)


def log_loss(probability, weights):
    """Return the sum of the weighted log losses of each sample: (b, ...), (b, 2, ...) -> (b,)."""
    each = losses.weighted_log_loss(probability, weights[:, 0], weights[:, 1])
    return each.sum(tuple(range(1, each.ndim)))


@dataclass(frozen=True, kw_only=True)
class Localization(ProposalTask):
    """Segments between likely starts and ends, by how well they fit an action.

    Attributes:
      reg_weight: Weight of the loss on overlaps.
      peak: A bin is a boundary if its score is a local maximum, or if it is above this share of the
        highest score.
      late: Number of bins that are added to the end of a scored segment to get the proposal. The
        published results use 1. With 0, both have the same end.
    """

    reg_weight: NonNegative = 10.0
    peak: Probability = 0.5
    late: int = 1

    def _targets(self, rng, batch):
        mask, t = batch["mask"], batch["feature"].shape[1]
        duration = jnp.maximum(batch["duration"], 1e-6)[:, None, None]  # of skipped samples 0
        segments = jnp.clip(batch["segments"] / duration, 0, 1)
        overlap, start, end = boundary_targets(segments, batch["segment_label"] >= 0, t)
        count = jnp.maximum(mask.sum(), 1)

        def balanced(positive, negative, entries):
            weights = losses.balanced_weights(positive, negative, entries)
            return jnp.stack(weights, 1) * (count / entries)

        real, valid = mask[:, None, None], jnp.asarray(valid_cells(t))
        good, others = (overlap > 0.9) * real, (overlap <= 0.9) * valid * real
        drawn = losses.overlap_weights(rng, overlap * real, valid) * real
        return {
            "overlap": overlap,
            "overlap_weight": drawn**2 * (0.5 * count / jnp.maximum(drawn.sum(), 1)),
            "start_weight": bin_weights(start, mask),
            "end_weight": bin_weights(end, mask),
            "cell_weight": balanced(good, others, jnp.maximum(good.sum(), 1) + others.sum()),
        }

    def loss(self, out, batch):
        regression, classification = out.confidence[:, 0], out.confidence[:, 1]
        start = log_loss(out.start, batch["start_weight"])
        end = log_loss(out.end, batch["end_weight"])
        error = jnp.square(regression - batch["overlap"])
        terms = {
            "boundary_loss": start + end,
            "overlap_loss": (batch["overlap_weight"] * error).sum((1, 2)),
            "cell_loss": log_loss(classification, batch["cell_weight"]),
        }
        terms = {key: losses.masked_mean(term, batch["mask"]) for key, term in terms.items()}
        boundary, overlap, cell = terms.values()
        return boundary + self.reg_weight * overlap + cell, terms

    def predict(self, out, batch):
        """Return `score` (b, d, s), which is 0 for cells that are not proposals."""
        t = out.start.shape[1]
        starts = peaks(out.start, self.peak).at[:, 0].set(True)
        ends = peaks(out.end, self.peak).at[:, -1].set(True)
        # The end of a cell is the bin after its last.
        after = np.add.outer(np.arange(t), np.arange(t)) + 1  # (d, s)
        inside, after = after < t, np.minimum(after, t - 1)
        score = out.start[:, None] * out.end[:, after] * out.confidence.prod(1)
        score = jnp.where(inside & starts[:, None] & ends[:, after], score, 0)
        return {"score": score} | {k: batch[k] for k in ("segments", "segment_label", "duration")}

    def proposals(self, preds: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the proposals of a sample, best first: (n, 3), start and end in seconds, score."""
        score = preds["score"]
        d, s = np.nonzero(score)
        segments = np.stack([s, s + d + 1 + self.late], 1) / len(score)
        return self.best(segments, score[d, s], float(preds["duration"]))


build = Localization
