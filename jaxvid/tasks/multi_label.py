"""Multi-label recognition: any number of classes for a clip, also in categories (HVU).

Shapes: b batch, v views, c classes, k categories.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvid.config.values import Count, NonNegative
from jaxvid.errors import UserError
from jaxvid.metrics import classification
from jaxvid.metrics.classification import MultiLabelMAP
from jaxvid.ops import losses
from jaxvid.tasks.base import Report, SampleLabels
from jaxvid.tasks.recognition import Recognition, examples


@dataclass(frozen=True, kw_only=True)
class MultiLabel(Recognition):
    """One sigmoid for each class of a clip, averaged over its views.

    The cross-entropy is that of each sigmoid, and class weights multiply it.

    The batch has `label` (b, c) of 0/1. It may have `label_mask` (b, c): 0 for classes that nobody
    has looked for, which then count neither for the loss nor for metrics.

    Attributes:
      categories: Categories of classes, for data sets such as HVU, as (name, number of classes) in
        the order of the classes. The mean average precision is computed for each category, and
        "map" is the mean over the categories.
      category_weights: Weights of the losses of the categories. The loss of a category is averaged
        over the samples that have a label in it. With (), the loss is averaged over the classes of
        a sample, then over the samples. Both are as in MMAction2 (Diba et al. 2020, "HVU").

    Raises:
      UserError: categories that do not add up to the classes, another number of weights, or a
        criterion of one label; see also `Recognition`.
    """

    sample_labels: ClassVar[SampleLabels] = "several"

    categories: tuple[tuple[str, Count], ...] = ()
    category_weights: tuple[NonNegative, ...] = ()

    @property
    def label_shape(self) -> tuple[int, ...]:
        return (self.num_classes,)

    def __post_init__(self):
        super().__post_init__()
        if self.criterion == "nll":
            raise UserError('config.task.criterion="nll" is for one label, not for several')
        total = sum(count for _, count in self.categories)
        if self.categories and total != self.num_classes:
            raise UserError(
                f"config.task.categories have {total} classes of {self.num_classes}; list all of"
                " them"
            )
        if len(self.category_weights) not in (0, len(self.categories)):
            raise UserError(
                f"config.task.category_weights: {len(self.category_weights)} for"
                f" {len(self.categories)} categories"
            )

    def prepare(self, rng, batch, train):
        batch = super().prepare(rng, batch, train)
        labeled = batch["label"].ndim == 2  # nothing is known of a video to predict
        return batch | self._entry_weights(batch) if labeled else batch

    def _loss(self, out, batch):  # out (b v, c)
        views = len(out) // len(batch["mask"])
        keys = ("target", "mask", "entry_weight", "category_share")
        target, mask, weight, share = (jnp.repeat(batch[key], views, 0) for key in keys)
        entries = optax.sigmoid_binary_cross_entropy(out, target)
        if self.criterion == "focal":
            entries = losses.focal(entries, 1.0, self.gamma)
        entries = entries * (weight * self.weights)
        parts = jnp.split(entries, np.cumsum(self._sizes)[:-1], 1)
        each = jnp.stack([part.sum(1) for part in parts], 1)  # (b v, k)
        loss = losses.masked_mean((share * each).sum(1), mask)
        if not self.category_weights:
            return loss, {}
        names = (f"loss_{name}" for name, _ in self.categories)
        means = (losses.masked_mean(values, mask) for values in each.T)
        return loss, dict(zip(names, means, strict=True))

    def metrics(self):
        return [MultiLabelMAP(self.num_classes, self.categories)]

    def report(self, preds, ids, names):
        """Return a report with the scores, and a row per class."""
        score, label = preds["score"], preds["label"]
        dump = dict(id=np.array(ids), score=score, label=label, names=np.array(names))
        if "label_mask" in preds:
            dump["label_mask"] = preds["label_mask"] > 0
        if self.categories:
            category, counts = zip(*self.categories, strict=True)
            dump["category"] = np.repeat(category, counts)
        rows = classification.per_label_report(score, label, names, dump.get("label_mask"))
        files = {"predictions.npz": dump, "report.csv": [type(rows[0])._fields, *rows]}
        weakest = sorted((r for r in rows if r.n), key=lambda r: r.average_precision)[:5]
        listed = ", ".join(f"{r.name} {r.average_precision:.0%}" for r in weakest)
        line = f"lowest average precision: {listed}"
        return Report(files, [line], *examples(score, label, names))

    def _target(self, label):
        return label.astype(jnp.float32)

    def _probabilities(self, logits):
        return jax.nn.sigmoid(logits)

    def _scale(self, batch, train):
        return {}

    @property
    def _sizes(self):
        """Number of classes in each category of the loss; all classes are one without weights."""
        return [n for _, n in self.categories] if self.category_weights else [self.num_classes]

    def _entry_weights(self, batch):
        """Return weights that make the loss of a sample a sum, and the loss the mean of samples.

        The weights are those of the whole batch, so that micro-batches add up to its loss. The loss
        of a category averages over the known classes of a sample, then over the samples of the
        batch that have any.
        """
        mask, target = batch["mask"], batch["target"]
        known = batch.get("label_mask", jnp.ones_like(target)) * mask[:, None]
        weights, present = [], []
        for part in jnp.split(known, np.cumsum(self._sizes)[:-1], 1):
            count = part.sum(1, keepdims=True)
            samples = (count > 0).sum()
            weights.append(part / jnp.maximum(count, 1) * mask.sum() / jnp.maximum(samples, 1))
            present.append(samples > 0)
        # A category that no sample of the batch has takes nothing from the weight of the others.
        share = jnp.array(self.category_weights or (1.0,)) * jnp.array(present)
        share = share / jnp.where(share.any(), share.sum(), 1)
        share = jnp.broadcast_to(share, (len(mask), len(share)))
        return {"entry_weight": jnp.concatenate(weights, 1), "category_share": share}


build = MultiLabel
