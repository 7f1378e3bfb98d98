"""Clip recognition: one class for a clip. For several labels per clip, see multi_label.py.

Shapes: b batch, v views, t frames, h height, w width, c classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvid.config.values import Natural, NonNegative, Positive, Rate
from jaxvid.errors import UserError
from jaxvid.metrics import classification
from jaxvid.metrics.classification import Accuracy
from jaxvid.ops import losses
from jaxvid.ops.augment import UNCHANGED, Augment, normalize
from jaxvid.ops.heatmap import POSEC3D, Drawing
from jaxvid.results import Recognized
from jaxvid.tasks.base import Judged, Report, SampleLabels


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """Softmax over the classes of a clip, averaged over its views.

    Attributes:
      keys: Names of the arrays of the batch that are the inputs of the model, each (b, v, ...).
        Arrays of uint8, such as "video", are pixels and are normalized. Other arrays, such as key
        points, are not changed.
      mean: Mean of the pixel values 0..255: one value for each channel (RGB), or one for all
        channels.
      std: Standard deviation of the pixel values: one value for each channel, or one for all
        channels.
      average: What is averaged over the views: "prob" averages the probabilities, as published, and
        "score" averages the logits.
      smoothing: Share of each label that is spread over all classes (label smoothing).
      criterion: Loss. "cross_entropy" is that of the softmax. "focal" is the focal loss of a
        sigmoid for each class, summed over the classes (Lin et al., 2017). "nll" is the negative
        log likelihood, for models that return log-probabilities.
      gamma: Exponent of the focal loss.
      class_weight: Weight of each class in the loss. With the cross-entropy, the loss of a training
        batch is divided by its mean weight, as in PyTorch. () weighs all classes equally.
      class_balance: Weight rare classes more in the loss (Cui et al., 2019, "class-balanced loss"):
        beta of the effective number of samples, such as 0.9999. 0 turns this off.
      class_counts: Number of training samples of each class, for `class_balance`. () counts the
        samples of the training set.
      auxiliary: Weight of the loss of an auxiliary classifier, for models that have one, such as
        TPN.
      augment: Random changes of the clips in training.
      heatmap: How the device draws heat maps: for the key "heatmap", where the recipe leaves it to
        the device (`drawn=False`).

    Raises:
      UserError: another `average`, `flip_labels` that are no classes, an augmentation of pixels
        where the model takes none, or weights that are not one for each class.
    """

    compares: ClassVar[bool] = False
    sample_labels: ClassVar[SampleLabels] = "one"

    num_classes: int
    keys: tuple[str, ...] = ("video",)
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[Positive, ...] = (58.395, 57.12, 57.375)
    average: Literal["prob", "score"] = "prob"
    smoothing: Rate = 0.0
    criterion: Literal["cross_entropy", "focal", "nll"] = "cross_entropy"
    gamma: NonNegative = 2.0
    class_weight: tuple[Positive, ...] = ()
    class_balance: Rate = 0.0
    class_counts: tuple[Natural, ...] = ()
    auxiliary: NonNegative = 0.5
    augment: Augment = UNCHANGED
    heatmap: Drawing = POSEC3D

    @property
    def label_shape(self) -> tuple[int, ...]:
        return ()

    def __post_init__(self):
        if self.average not in ("prob", "score"):
            raise UserError(f'config.task.average is prob or score, not "{self.average}"')
        self._check_weights()
        if self.augment.active and self.keys != ("video",):
            name, keys = self.augment.active[0], ", ".join(self.keys)
            raise UserError(f"config.task.augment.{name} augments videos, not {keys}")
        for label in (label for pair in self.augment.flip_labels for label in pair):
            if not 0 <= label < self.num_classes:
                last = self.num_classes - 1
                raise UserError(f"config.task.augment.flip_labels: {label} is outside 0..{last}")

    def prepare(self, rng, batch, train):  # video uint8 (b, v, t, h, w, c)
        if "heatmap" in self.keys and "heatmap" not in batch:
            batch = batch | {"heatmap": self.heatmap(batch["keypoint"])}
        if train:
            batch = self.augment.before(rng, batch, self.num_classes)
        inputs = {key: self._normalized(key, batch[key]) for key in self.keys}
        target = self._target(batch["label"])
        if self.smoothing:
            target = optax.smooth_labels(target, self.smoothing)
        batch = batch | inputs | {"target": target}
        batch = self.augment.after(rng, batch) if train else batch
        return batch | self._scale(batch, train)

    def inputs(self, batch):
        return {key: batch[key].reshape(-1, *batch[key].shape[2:]) for key in self.keys}

    def loss(self, out, batch):  # out (b v, c), or a tuple of them of which the first counts
        out, *auxiliary = out if isinstance(out, tuple) else (out,)
        loss, logs = self._loss(out, batch)
        if not auxiliary:
            return loss, logs
        extra = self.auxiliary * sum(self._loss(scores, batch)[0] for scores in auxiliary)
        return loss + extra, logs | {"loss_cls": loss, "loss_aux": extra}

    def _loss(self, out, batch):  # out (b v, c)
        views = len(out) // len(batch["mask"])
        target, mask = (jnp.repeat(batch[key], views, 0) for key in ("target", "mask"))
        each = self._losses(out, target)
        if "scale" in batch:
            each = each * jnp.repeat(batch["scale"], views, 0)
        loss = losses.masked_mean(each, mask)
        right = (out.argmax(-1) == target.argmax(-1)).astype(jnp.float32)
        return loss, {"top1": losses.masked_mean(right, mask)}

    def predict(self, out, batch):  # out as in `loss` -> score (b, c)
        out = out[0] if isinstance(out, tuple) else out
        views = out.reshape(len(batch["mask"]), -1, self.num_classes)
        if self.average == "prob":
            score = self._probabilities(views).mean(1)
        else:
            score = self._probabilities(views.mean(1))
        known = {key: batch[key] for key in ("label_mask",) if key in batch}
        return {"score": score, "label": batch["label"], **known}

    def metrics(self):
        return [Accuracy(self.num_classes)]

    def describe(self, preds, names, topk=None):
        """Return the `topk` (5) most likely classes."""
        order = np.argsort(-preds["score"], kind="stable")[: topk or 5]
        scores = preds["score"][order].tolist()
        return Recognized(tuple(names[i] for i in order), tuple(scores))

    def report(self, preds, ids, names):
        """Return a report with the scores, a row per class, and the confusion matrix."""
        score, label = preds["score"], preds["label"]
        rows = classification.per_class_report(score, label, names)
        counts = classification.confusion_matrix(score.argmax(1), label, len(names)).tolist()
        confusion = [(name, *row) for name, row in zip(names, counts, strict=True)]
        files = {
            "predictions.npz": dict(
                id=np.array(ids), score=score, label=label, names=np.array(names)
            ),
            "report.csv": [type(rows[0])._fields, *rows],
            "confusion.csv": [("true \\ predicted", *names), *confusion],
        }
        weakest = sorted((r for r in rows if r.n), key=lambda r: r.recall)[:5]
        listed = ", ".join(f"{r.name} {r.recall:.0%}" for r in weakest)
        return Report(files, [f"weakest classes: {listed}"], *examples(score, label, names))

    def _normalized(self, key, x):
        pixels = key == "video" or x.dtype == jnp.uint8
        return normalize(x, self.mean, self.std) if pixels else x

    def _target(self, label):  # (b,) -> (b, c)
        return jax.nn.one_hot(label, self.num_classes)

    def _probabilities(self, logits):
        if self.criterion == "focal":
            return jax.nn.sigmoid(logits)
        return jax.nn.softmax(logits)

    @property
    def weights(self) -> np.ndarray:
        """Weights of the classes in the loss, float32 (c,)."""
        if self.class_balance and self.class_counts:
            return losses.class_balanced_weights(self.class_counts, self.class_balance)
        return np.array(self.class_weight or (1.0,) * self.num_classes, np.float32)

    def _losses(self, out, target):  # (b v, c), (b v, c) -> (b v,)
        if self.criterion == "focal":
            each = optax.sigmoid_binary_cross_entropy(out, target)
            return (target @ self.weights) * losses.focal(each, 1.0, self.gamma).sum(-1)
        function = (
            losses.cross_entropy
            if self.criterion == "cross_entropy"
            else losses.negative_log_likelihood
        )
        return function(out, self.weights * target)

    def _scale(self, batch, train):
        """Return the factor of the loss of each sample, which divides it by the mean weight.

        It is that of the whole batch, so that micro-batches add up to its loss. In evaluation, the
        loss of a sample does not depend on the others.
        """
        if not (train and self.class_weight) or self.criterion == "focal":
            return {}
        mask = batch["mask"]
        total = (mask * (batch["target"] @ self.weights)).sum()
        scale = mask.sum() / jnp.where(total > 0, total, 1)
        return {"scale": jnp.full_like(mask, scale)}

    def _check_weights(self):
        """Raise a UserError for weights that do not fit the classes or each other."""
        for key in ("class_weight", "class_counts"):
            if len(given := getattr(self, key)) not in (0, self.num_classes):
                raise UserError(
                    f"config.task.{key} has {len(given)} values for {self.num_classes} classes"
                )
        if self.class_weight and self.class_balance:
            raise UserError("set config.task.class_weight or class_balance, not both")


def examples(
    score: np.ndarray, label: np.ndarray, names: Sequence[str], count: int = 8
) -> tuple[list[Judged], list[Judged]]:
    """Return the samples with the lowest scores of the true class, and those with the highest.

    The score of several true classes is their mean. Samples without a label are left out.
    """
    true = label > 0 if label.ndim == 2 else np.arange(score.shape[1]) == label[:, None]
    labeled = true.any(1)
    own = (score * true).sum(1) / np.maximum(true.sum(1), 1)
    order = [i for i in np.argsort(own, kind="stable").tolist() if labeled[i]]
    count = min(count, -(-len(order) // 2))

    def judged(row: int) -> Judged:
        guess = int(score[row].argmax())
        right = ", ".join(names[i] for i in np.flatnonzero(true[row]).tolist())
        return Judged(row, right, names[guess], float(score[row, guess]))

    return [judged(i) for i in order[:count]], [judged(i) for i in order[::-1][:count]]


build = Recognition
