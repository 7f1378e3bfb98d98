"""Clip recognition: one class, or several, for a clip.

Shapes: b batch, v views, t frames, h height, w width, c classes, k categories.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvid.config.values import (
    Count,
    Natural,
    NonNegative,
    Positive,
    Probability,
    Rate,
    ShareRange,
)
from jaxvid.errors import UserError
from jaxvid.metrics import classification
from jaxvid.metrics.classification import Accuracy, MultiLabelMAP
from jaxvid.ops import augment, heatmap, losses
from jaxvid.results import Recognized
from jaxvid.tasks.base import Judged, Report


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """Softmax over classes, or with `multi_label` one sigmoid a class.

    Samples of several labels may have a `label_mask` (b, c): 0 for classes that nobody has looked
    for, which then count neither for the loss nor for metrics.

    Attributes:
      keys: Arrays of the batch that the model takes, each (b, v, ...). "video" and others of uint8
        are pixels, which are normalised; the rest, such as key points, is left as it is.
      mean: Mean of the pixel values 0..255, for each channel (RGB) or one for all.
      std: Standard deviation of the pixel values, for each channel or one for all.
      multi_label: Predict any number of classes for a sample, by one sigmoid a class.
      categories: (name, number of classes) of each category of a multi-label set such as HVU, in
        the order of the classes: each has its own mean average precision, and "map" is their mean.
      category_weights: Weights of the categories' losses, each over the samples that have a label
        in it; () averages over the classes of a sample, then over samples (Diba et al. 2020, "HVU",
        as MMAction2 has both).
      flow: The channels are optical flow, x and y in turn: a mirror inverts x.
      average: Mean over views: "prob" of the softmax, as published, or "score" of the logits.
      smoothing: Share of each label that is spread over all classes (label smoothing).
      flip: Probability of mirroring a clip left to right.
      flip_labels: Pairs of classes that a mirror swaps, such as Something-Something's left and
        right.
      crop: Smallest and largest share of the frame that a random crop on the device covers; ()
        turns it off. Data recipes crop already: this is for clips that come whole.
      color: Strengths of random changes of (brightness, contrast, saturation, hue); () turns it
        off.
      mixup: Concentration of the Beta distribution that draws the share of the clip that is mixed
        in; 0 turns it off. With `cutmix` too, each batch draws one of the two (Zhang et al. 2017).
      cutmix: The same for a box of the other clip that is pasted in (Yun et al. 2019).
      erasing: Probability of blanking one rectangle, the same in all frames (Zhong et al. 2017).
      heatmap_size: Side of heat maps that the device draws, in pixels: for the key "heatmap" where
        the recipe leaves it to the device (`drawn=False`).
      heatmap_sigma: Standard deviation of their Gaussians, in pixels.
      heatmap_limbs: Pairs of joints to draw as limbs; () draws joints.

    Raises:
      UserError: another `average`, `flip_labels` that are no classes, categories that do not add up
        to the classes, or an augmentation of pixels where the model takes none.
    """

    compares: ClassVar[bool] = False
    has_eval_loss: ClassVar[bool] = True

    num_classes: int
    keys: tuple[str, ...] = ("video",)
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[Positive, ...] = (58.395, 57.12, 57.375)
    multi_label: bool = False
    categories: tuple[tuple[str, Count], ...] = ()
    category_weights: tuple[NonNegative, ...] = ()
    flow: bool = False
    average: Literal["prob", "score"] = "prob"
    smoothing: Rate = 0.0
    flip: Probability = 0.0
    flip_labels: tuple[tuple[Natural, Natural], ...] = ()
    crop: ShareRange | tuple[()] = ()
    color: tuple[NonNegative, ...] = ()
    mixup: NonNegative = 0.0
    cutmix: NonNegative = 0.0
    erasing: Probability = 0.0
    heatmap_size: Count = 56
    heatmap_sigma: Positive = 0.6
    heatmap_limbs: tuple[tuple[Natural, Natural], ...] = ()

    @property
    def label_shape(self) -> tuple[int, ...]:
        return (self.num_classes,) if self.multi_label else ()

    def __post_init__(self):
        if self.average not in ("prob", "score"):
            raise UserError(f'config.task.average is prob or score, not "{self.average}"')
        for name in ("flip", "crop", "color", "mixup", "cutmix", "erasing"):
            if getattr(self, name) and self.keys != ("video",):
                raise UserError(f"config.task.{name} augments videos, not {', '.join(self.keys)}")
        for label in (label for pair in self.flip_labels for label in pair):
            if not 0 <= label < self.num_classes:
                raise UserError(
                    f"config.task.flip_labels: {label} is outside 0..{self.num_classes - 1}"
                )
        total = sum(count for _, count in self.categories)
        if self.categories and (not self.multi_label or total != self.num_classes):
            raise UserError(
                f"config.task.categories have {total} classes of {self.num_classes}, and need"
                " config.task.multi_label=True"
            )
        if len(self.category_weights) not in (0, len(self.categories)):
            raise UserError(
                f"config.task.category_weights: {len(self.category_weights)} for"
                f" {len(self.categories)} categories"
            )

    def prepare(self, rng, batch, train):  # video uint8 (b, v, t, h, w, c)
        k_flip, k_mix, k_erase, k_crop, k_color = jax.random.split(rng, 5)
        if "heatmap" in self.keys and "heatmap" not in batch:
            side, sigma, limbs = self.heatmap_size, self.heatmap_sigma, self.heatmap_limbs
            batch = batch | {"heatmap": heatmap.draw(batch["keypoint"], side, side, sigma, limbs)}
        if train and self.flip:
            batch = batch | self._flip(k_flip, batch)
        if train and (self.crop or self.color):
            video = batch["video"].astype(jnp.float32)
            if self.crop:
                video = augment.random_resized_crop(k_crop, video, self.crop)
            if self.color:
                video = augment.color_jitter(k_color, video, self.color)
            batch = batch | {"video": video}
        label = batch["label"]
        inputs = {key: self._normalise(key, batch[key]) for key in self.keys}
        target = label if self.multi_label else jax.nn.one_hot(label, self.num_classes)
        target = target.astype(jnp.float32)
        if self.smoothing and not self.multi_label:
            target = optax.smooth_labels(target, self.smoothing)
        mask = batch["mask"]
        if train and self.erasing:
            inputs["video"] = augment.random_erasing(k_erase, inputs["video"], self.erasing)
        if train and (self.mixup or self.cutmix):
            inputs["video"], target = augment.blend(
                k_mix, inputs["video"], target, self.mixup, self.cutmix
            )
            mask = mask * jnp.flip(mask, 0)  # a skipped sample is no partner either
            if "label_mask" in batch:
                known = batch["label_mask"]
                batch = batch | {"label_mask": known * jnp.flip(known, 0)}
        batch = batch | inputs | {"target": target, "mask": mask}
        labelled = self.multi_label and label.ndim == 2  # nothing is known of a video to predict
        return batch | self._entry_weights(batch) if labelled else batch

    def inputs(self, batch):
        return {key: batch[key].reshape(-1, *batch[key].shape[2:]) for key in self.keys}

    def loss(self, out, batch):  # out (b v, c)
        rows = jnp.repeat(batch["target"], len(out) // len(batch["target"]), 0)
        if self.multi_label:
            return self._multi_label_loss(out, rows, batch)
        mask = jnp.repeat(batch["mask"], len(out) // len(batch["mask"]))
        loss = losses.masked_mean(losses.cross_entropy(out, rows), mask)
        right = (out.argmax(-1) == rows.argmax(-1)).astype(jnp.float32)
        return loss, {"top1": losses.masked_mean(right, mask)}

    def predict(self, out, batch):  # out (b v, c) -> score (b, c)
        squash = jax.nn.sigmoid if self.multi_label else jax.nn.softmax
        views = out.reshape(len(batch["mask"]), -1, self.num_classes)
        if self.average == "prob":
            score = squash(views).mean(1)
        else:
            score = squash(views.mean(1))
        known = {key: batch[key] for key in ("label_mask",) if key in batch}
        return {"score": score, "label": batch["label"], **known}

    def metrics(self):
        if self.multi_label:
            return [MultiLabelMAP(self.num_classes, self.categories)]
        return [Accuracy(self.num_classes)]

    def describe(self, preds, names, topk=None):
        """The `topk` (5) most likely classes."""
        order = np.argsort(-preds["score"], kind="stable")[: topk or 5]
        scores = preds["score"][order].tolist()
        return Recognized(tuple(names[i] for i in order), tuple(scores))

    def report(self, preds, ids, names):
        """The scores and a row a class; with one class a sample, also the confusion of classes."""
        score, label = preds["score"], preds["label"]
        dump = dict(id=np.array(ids), score=score, label=label, names=np.array(names))
        files: dict = {"predictions.npz": dump}
        worst, best = examples(score, label, names)
        if self.multi_label:
            if "label_mask" in preds:
                dump["label_mask"] = preds["label_mask"] > 0
            if self.categories:
                category, counts = zip(*self.categories, strict=True)
                dump["category"] = np.repeat(category, counts)
            rows = classification.per_label_report(score, label, names, dump.get("label_mask"))
            files["report.csv"] = [type(rows[0])._fields, *rows]
            weakest = sorted((r for r in rows if r.n), key=lambda r: r.average_precision)[:5]
            listed = ", ".join(f"{r.name} {r.average_precision:.0%}" for r in weakest)
            line = f"lowest average precision: {listed}"
            return Report(files, [line], worst, best)
        rows = classification.per_class_report(score, label, names)
        counts = classification.confusion_matrix(score.argmax(1), label, len(names))
        files["report.csv"] = [type(rows[0])._fields, *rows]
        files["confusion.csv"] = [
            ("true \\ predicted", *names),
            *((name, *row) for name, row in zip(names, counts.tolist(), strict=True)),
        ]
        weakest = sorted((r for r in rows if r.n), key=lambda r: r.recall)[:5]
        listed = ", ".join(f"{r.name} {r.recall:.0%}" for r in weakest)
        return Report(files, [f"weakest classes: {listed}"], worst, best)

    def _normalise(self, key, x):
        if key != "video" and x.dtype != jnp.uint8:
            return x
        return (x.astype(jnp.float32) - jnp.array(self.mean)) / jnp.array(self.std)

    def _flip(self, rng, batch):
        video, chosen = augment.flip(rng, batch["video"], self.flip, self.flow)
        if not self.flip_labels:
            return {"video": video}
        swap = list(range(self.num_classes))
        for a, b in self.flip_labels:
            swap[a], swap[b] = b, a
        swap = jnp.array(swap)
        if not self.multi_label:
            label = batch["label"]
            return {"video": video, "label": jnp.where(chosen, swap[label], label)}
        several = {key: batch[key] for key in ("label", "label_mask") if key in batch}
        swapped = {k: jnp.where(chosen[:, None], x[:, swap], x) for k, x in several.items()}
        return {"video": video, **swapped}

    def _entry_weights(self, batch):
        """By which the loss is the mean over samples of a sum, also where parts go through alone.

        Means are over what is known of a sample, in a category, then over the samples of the whole
        batch where anything is.
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

    def _multi_label_loss(self, out, target, batch):  # (b v, c) each
        views = len(out) // len(batch["mask"])
        mask, weight, share = (
            jnp.repeat(batch[key], views, 0) for key in ("mask", "entry_weight", "category_share")
        )
        entries = optax.sigmoid_binary_cross_entropy(out, target) * weight
        parts = jnp.split(entries, np.cumsum(self._sizes)[:-1], 1)
        each = jnp.stack([part.sum(1) for part in parts], 1)  # (b v, k)
        loss = losses.masked_mean((share * each).sum(1), mask)
        if not self.category_weights:
            return loss, {}
        names = (f"loss_{name}" for name, _ in self.categories)
        means = (losses.masked_mean(values, mask) for values in each.T)
        return loss, dict(zip(names, means, strict=True))

    @property
    def _sizes(self):
        """Of what the loss takes for categories: all classes are one where none is weighed."""
        return [n for _, n in self.categories] if self.category_weights else [self.num_classes]


def examples(
    score: np.ndarray, label: np.ndarray, names: Sequence[str], count: int = 8
) -> tuple[list[Judged], list[Judged]]:
    """The samples whose true classes (mean over several) score lowest, and those highest.

    Samples without a label are left out.
    """
    true = label > 0 if label.ndim == 2 else np.arange(score.shape[1]) == label[:, None]
    labelled = true.any(1)
    own = (score * true).sum(1) / np.maximum(true.sum(1), 1)
    order = [i for i in np.argsort(own, kind="stable").tolist() if labelled[i]]
    count = min(count, -(-len(order) // 2))

    def judged(row: int) -> Judged:
        guess = int(score[row].argmax())
        right = ", ".join(names[i] for i in np.flatnonzero(true[row]).tolist())
        return Judged(row, right, names[guess], float(score[row, guess]))

    return [judged(i) for i in order[:count]], [judged(i) for i in order[::-1][:count]]


build = Recognition
