"""Temporal localization by boundaries and proposals in stages (Lin et al., 2018, BSN).

Shapes: b batch, k segments of a video, t bins of time, n proposals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
import optax

from jaxvid.config.values import Count, NonNegative, Positive, Probability
from jaxvid.errors import UserError
from jaxvid.ops import losses
from jaxvid.ops.segments import bin_targets, iou
from jaxvid.tasks.localization import ProposalTask, bin_weights, log_loss


@dataclass(frozen=True, kw_only=True)
class BoundaryProposals(ProposalTask):
    """Pairs of likely boundaries, by their predicted overlap with an action.

    Attributes:
      stage: What is trained: "tem", the probabilities of boundaries, which are then the scores of
        proposals; "pem", the overlaps of proposals; "all", both.
      action_weight: Weight of the loss of bins inside actions.
      boundary: Width of the region around a boundary whose bins are positive, as a share of the
        length of the segment. It is at least one bin.
      learned: Number of proposals of a video that are trained on.
    """

    stage: Literal["all", "tem", "pem"] = "all"
    action_weight: NonNegative = 2.0
    boundary: NonNegative = 0.1
    learned: Count = 500
    alpha: Positive = 0.75
    low: Probability = 0.65

    def _targets(self, rng, batch):
        duration = jnp.maximum(batch["duration"], 1e-6)[:, None, None]  # of skipped samples 0
        segments = jnp.clip(batch["segments"] / duration, 0, 1)
        present, frames = batch["segment_label"] >= 0, batch["feature"].shape[1]
        targets = bin_targets(segments, present, frames, self.boundary)
        names = ("action_weight", "start_weight", "end_weight")
        weights = (bin_weights(target, batch["mask"]) for target in targets)
        return dict(zip(names, weights, strict=True))

    def loss(self, out, batch):
        _check_stages(out)
        terms = {}
        if self.stage != "pem":
            for name in ("action", "start", "end"):
                terms[f"{name}_loss"] = log_loss(getattr(out, name), batch[f"{name}_weight"])
            terms["action_loss"] *= self.action_weight
        if self.stage != "tem" and out.overlap is not None:
            terms["overlap_loss"] = self._overlap_loss(out, batch)
        terms = {key: losses.masked_mean(term, batch["mask"]) for key, term in terms.items()}
        return sum(terms.values(), jnp.zeros(())), terms

    def _overlap_loss(self, out, batch):
        """Return the mean over the proposals of each video: (b,).

        The paper draws proposals so that those of large, medium and small overlap are as many. The
        published code averages over all before it weighs them, so all count alike.
        """
        n = self.learned
        duration = jnp.maximum(batch["duration"], 1e-6)[:, None, None, None]
        truth = batch["segments"][:, None] / duration  # (b, 1, k, 2)
        present = (batch["segment_label"] >= 0)[:, None]
        truth = jnp.where(present[..., None], truth, jnp.array([-2.0, -1.0]))
        overlap = iou(out.segments[:, :n, None], truth).max(-1)
        there = out.score[:, :n] > 0
        error = optax.huber_loss(out.overlap[:, :n], overlap)
        return jnp.where(there, error, 0).sum(1) / jnp.maximum(there.sum(1), 1)

    def predict(self, out, batch):
        """Return `proposal` (b, n, 2) within 0..1 and `score` (b, n), 0 for missing proposals."""
        _check_stages(out)
        trained = out.overlap is not None and self.stage != "tem"
        score = out.score * out.overlap if trained else out.score
        found = {"proposal": out.segments, "score": score}
        return found | {k: batch[k] for k in ("segments", "segment_label", "duration")}

    def proposals(self, preds: Mapping[str, np.ndarray]) -> np.ndarray:
        there = preds["score"] > 0
        return self.best(preds["proposal"][there], preds["score"][there], float(preds["duration"]))


def _check_stages(out):
    if out.segments is None:
        raise UserError(
            "this model has the last stage alone, which scores the features of proposals; use a"
            ' model with model.stage="all"'
        )


build = BoundaryProposals
