"""Language grounding: the part of a video that a sentence describes (Zeng et al., 2020).

Shapes: b batch, t rows of features, c channels, l words, n points of all levels, m proposals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvid.config.values import Count, NonNegative, Positive, Probability
from jaxvid.metrics.grounding import GroundingMetrics
from jaxvid.metrics.localization import beside_chance
from jaxvid.ops import losses
from jaxvid.ops.proposals import soft_nms
from jaxvid.results import Localized
from jaxvid.tasks.base import Report, SampleLabels

Stage = Literal["first", "second", "third"]
STRIDES = (1, 2, 4)  # of the levels, in rows of features
# Smallest and largest distance to the farther end for which a point of each level is responsible.
REACH = ((-1.0, 6.0), (5.6, 11.0), (11.0, np.inf))
FITS = 0.9  # overlap above which the loss compares a predicted overlap with the true one


@dataclass(frozen=True, kw_only=True)
class Grounding:
    """Start and end of the part of a video that a sentence describes.

    The batch has `feature` (b, t, c), `position` (b, t, 2), `query` (b, l), `duration` (b,) in
    seconds, and `segments` (b, 1, 2), the true part in seconds.

    Attributes:
      stage: Stage of the training. "first" trains scores and distances, "second" the predicted
        overlap, and "third" all of them. Scores of the second and third stage are weighed by the
        predicted overlap.
      focal_alpha: Weight of points inside the true part in the focal loss; others have one minus
        this weight.
      focal_gamma: Exponent of the focal loss.
      threshold: Minimum probability of a point whose prediction is used.
      alpha: Strength of soft non-maximum suppression: a score is multiplied by exp(-IoU^2 / alpha).
      low: Overlap (IoU) above which soft non-maximum suppression reduces the scores of the shortest
        segments.
      high: Overlap (IoU) above which soft non-maximum suppression reduces the scores of segments as
        long as the video.
      keep: Maximum number of segments of a sentence.
    """

    compares: ClassVar[bool] = False
    sample_labels: ClassVar[SampleLabels] = "other"
    label_shape: ClassVar[tuple[int, ...]] = ()

    stage: Stage = "third"
    focal_alpha: Probability = 0.25
    focal_gamma: NonNegative = 2.0
    threshold: Probability = 0.05
    alpha: Positive = 0.4
    low: Probability = 0.5
    high: Probability = 0.9
    keep: Count = 5

    def prepare(self, rng, batch, train):
        if "segments" not in batch:  # a video to predict
            return batch
        mask, t = batch["mask"], batch["feature"].shape[1]
        seconds = jnp.maximum(batch["duration"], 1e-6)[:, None]  # of skipped samples 0
        part = jnp.minimum(batch["segments"][:, 0] / seconds, jnp.array([jnp.inf, 1.0]))
        reach, inside = targets(part * t, t)
        inside = inside * mask[:, None]
        each, videos = inside.sum(1), mask
        if train:  # the published loss is a mean over the points of the batch
            count = jnp.maximum(mask.sum(), 1)
            each, videos = (jnp.broadcast_to(x.sum() / count, mask.shape) for x in (each, videos))
        return batch | {
            "part": part,
            "reach": reach,
            "inside": inside,
            "score_weight": 1 / jnp.maximum(each + videos, 1e-6),
            "reach_weight": 1 / jnp.where(each > 0, each, 1),
            "alone": jnp.full(mask.shape, not train),
        }

    def inputs(self, batch):
        return {key: batch[key] for key in ("feature", "position", "query")}

    def loss(self, out, batch):
        terms = {}
        if self.stage != "second":
            terms["score_loss"] = self._score_loss(out.score, batch)
            terms["reach_loss"] = self._reach_loss(out.reach, batch)
        if self.stage != "first":
            terms["overlap_loss"] = self._overlap_loss(out, batch)
        terms = {key: losses.masked_mean(term, batch["mask"]) for key, term in terms.items()}
        return sum(terms.values()), terms

    def _score_loss(self, score, batch):
        entropy = optax.sigmoid_binary_cross_entropy(score, batch["inside"])
        alpha = jnp.where(batch["inside"] > 0, self.focal_alpha, 1 - self.focal_alpha)
        return losses.focal(entropy, alpha, self.focal_gamma).sum(1) * batch["score_weight"]

    def _reach_loss(self, reach, batch):
        """Return -log(IoU), over the points inside the true part."""
        inside = batch["inside"] > 0
        target = jnp.where(inside[..., None], batch["reach"], 1)
        shared = jnp.minimum(reach, target).sum(-1)
        union = reach.sum(-1) + target.sum(-1) - shared
        loss = -jnp.log((shared + 1e-8) / (union + 1e-8))
        return jnp.where(inside, loss, 0).sum(1) * batch["reach_weight"]

    def _overlap_loss(self, out, batch):
        """Return the error of the predicted overlap, over the points whose prediction fits well."""
        found, true = parts(out.reach), batch["part"][:, None]
        first, last = jnp.minimum(found, true), jnp.maximum(found, true)
        overlap = jnp.maximum(first[..., 1] - last[..., 0], 0)
        overlap = overlap / (jnp.maximum(last[..., 1] - first[..., 0], 0) + 1e-6)
        fits = (overlap > FITS) * batch["mask"][:, None]
        error = 0.5 * jnp.square(jax.nn.sigmoid(out.overlap) - overlap) * fits
        count = fits.sum() / jnp.maximum(batch["mask"].sum(), 1)
        count = jnp.where(batch["alone"], fits.sum(1), count)
        return error.sum(1) / jnp.where(count > 0, count, 1)

    def predict(self, out, batch):
        """Return `part` (b, n, 2), shares of the video, and `score` (b, n), 0 if it is not used."""
        score = jax.nn.sigmoid(out.score)
        weight = 1.0 if self.stage == "first" else jax.nn.sigmoid(out.overlap)
        score = jnp.where(score > self.threshold, jnp.sqrt(score * weight), 0)
        kept = {key: batch[key] for key in ("segments", "duration", "query")}
        return {"part": parts(out.reach), "score": score} | kept

    def proposals(self, preds: Mapping[str, np.ndarray], keep: int | None = None) -> np.ndarray:
        """Return the segments of a sample, best first: (m, 3), start and end in seconds, score.

        A sentence without a segment gets the whole video, as published.

        Args:
          preds: predictions of the sample.
          keep: maximum number of segments; None uses that of the task.
        """
        keep, used = keep or self.keep, preds["score"] > 0
        if not used.any():
            return np.array([[0.0, preds["duration"], 1.0]])
        part, score = soft_nms(
            preds["part"][used],
            preds["score"][used],
            alpha=self.alpha,
            low=self.low,
            high=self.high,
            keep=keep,
        )
        order = np.argsort(-score, kind="stable")[:keep]
        return np.column_stack([part[order] * preds["duration"], score[order]])

    def metrics(self):
        return [GroundingMetrics(self.proposals)]

    def describe(self, preds, names, topk=None):
        """Return the `topk` (5) best segments. Their label is the words that the model knows."""
        found = self.proposals(preds, topk)
        words = [names[number - 1] for number in preds["query"] if 0 < number <= len(names)]
        label = " ".join(words) or "query"
        return Localized.of(found, [label] * len(found), preds["duration"])

    def report(self, preds, ids, names):
        """Return a report with the segments of all sentences, and a comparison with chance."""
        (ours,) = self.metrics()
        lines = beside_chance(ours, preds, self.keep)
        found = {
            name: [{"score": score, "segment": [start, end]} for start, end, score in rows.tolist()]
            for name, (rows, _) in zip(ids, ours.found, strict=True)
        }
        lines = ["with random segments in brackets", *lines]
        return Report({"predictions.json": {"results": found}}, lines)


def points(rows: int) -> np.ndarray:
    """Return the times of the points of all levels, float32 (n,), in rows of features."""
    levels = [np.arange(0, rows, stride) + stride / 2 for stride in STRIDES]
    return np.concatenate(levels).astype(np.float32)


def targets(part, rows: int):
    """Return the distances (b, n, 2) of the points to both ends, and which points are responsible.

    A point is responsible for the true part if it is inside, and if the distance to the farther end
    fits its level: (b, n), 0/1.

    Args:
      part: (b, 2), start and end of the true part in rows of features.
      rows: number of rows of features.
    """
    at = points(rows)
    reach = jnp.stack([at - part[:, :1], part[:, 1:] - at], -1)
    sizes = [rows // stride for stride in STRIDES]
    low, high = np.repeat(np.array(REACH, np.float32), sizes, 0).T
    far = reach.max(-1)
    return reach, ((reach.min(-1) > 0) & (far >= low) & (far <= high)).astype(jnp.float32)


def parts(reach):
    """Return the predicted parts (b, n, 2), shares of the video, for distances (b, n, 2)."""
    rows = reach.shape[1] * 4 // 7  # t + t / 2 + t / 4 points
    at = points(rows)
    return jnp.clip(jnp.stack([at - reach[..., 0], at + reach[..., 1]], -1) / rows, 0, 1)


build = Grounding
