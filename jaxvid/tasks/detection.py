"""Spatio-temporal detection: actions of people in boxes of key frames (Gu et al., 2018, AVA).

Boxes are given. In training they are the annotated ones and the proposals that overlap one of them
closely. In evaluation all proposals are classified, and the annotated boxes count for the loss.

Shapes: b batch, t frames, h height, w width, n proposals, k annotated boxes, r boxes that go
through the model, c classes.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvid.config.values import Count, Natural, NonNegative, Positive, Probability
from jaxvid.errors import UserError
from jaxvid.metrics.action_tubes import ActionTubeMAP
from jaxvid.metrics.detection import AvaMAP, Group
from jaxvid.metrics.tubes import MultiSportsMAP
from jaxvid.ops import augment, boxes, losses
from jaxvid.results import Detected
from jaxvid.tasks.base import Report, SampleLabels

TOP = 3  # classes of a box among which recall is logged in training


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One sigmoid a class for each box; or without `multi_label`, a softmax.

    The batch has `video` uint8 (b, 1, t, h, w, 3), `proposals` (b, n, 4) in its pixels with
    `proposal_mask` (b, n), and in training `boxes` (b, k, 4), `box_mask` (b, k) and `box_label`
    (b, k, c). With a feature bank, it also has `bank` (b, m, c).

    Attributes:
      mean: Mean of the pixel values 0..255, for each channel (RGB).
      std: Standard deviation of the pixel values, for each channel.
      multi_label: Predict any number of classes for a box, with one sigmoid per class. If False,
        predict one class with a softmax.
      rois: Maximum number of boxes of a key frame in training. If there are more, they are chosen
        at random.
      match: Minimum overlap (IoU) with an annotated box at which a proposal gets the labels of that
        box in training.
      focal: (alpha, gamma) of the focal loss; (1, 0) turns it off.
      metric: Data set that defines the mean average precision. JHMDB has that of UCF101-24.
      unscored: Numbers of the classes that are left out of the metric.
      groups: Groups of classes, as (name, first class, last class). With "ava", the mean of each
        group is also reported.
      both: Also report a second version of the metric. For "ava", it is the mAP without the
        peculiarities of MMAction2's program. For "multisports", it is the video mAP with the error
        of MMAction2's program.

    Raises:
      UserError: another `metric`, or a class in `unscored` that is none.
    """

    compares: ClassVar[bool] = False
    sample_labels: ClassVar[SampleLabels] = "other"
    label_shape: ClassVar[tuple[int, ...]] = ()

    num_classes: int
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[Positive, ...] = (58.395, 57.12, 57.375)
    multi_label: bool = True
    rois: Count = 32
    match: Probability = 0.9
    focal: tuple[NonNegative, NonNegative] = (1.0, 0.0)
    metric: Literal["ava", "multisports", "ucf24"] = "ava"
    unscored: tuple[Natural, ...] = ()
    groups: tuple[Group, ...] = ()
    both: bool = False

    def __post_init__(self):
        if self.metric not in ("ava", "multisports", "ucf24"):
            raise UserError(f'config.task.metric is ava, multisports or ucf24, not "{self.metric}"')
        if wrong := [c for c in self.unscored if not 0 <= c < self.num_classes]:
            raise UserError(
                f"config.task.unscored has class {wrong[0]}, but there are {self.num_classes}"
                " classes; for a data set of your own set --config.task.unscored='()'"
            )

    def prepare(self, rng, batch, train):
        video = augment.normalize(batch["video"], self.mean, self.std)
        batch = batch | {"video": video}
        if "boxes" not in batch:  # a video to predict
            return batch | {"rois": batch["proposals"], "valid": batch["proposal_mask"] > 0}
        keys = ("boxes", "box_mask", "box_label", "proposals", "proposal_mask")
        rois, target, usable = jax.vmap(self._labeled)(*(batch[key] for key in keys))
        if not train:  # the boxes of a sample count alike
            weight = usable / jnp.maximum(usable.sum(1, keepdims=True), 1)
            valid = jnp.concatenate([batch["box_mask"], batch["proposal_mask"]], 1) > 0
            return batch | {"rois": rois, "valid": valid, "target": target, "weight": weight}
        rngs = jax.random.split(rng, len(video))
        rois, target, weight = jax.vmap(self._draw)(rngs, rois, target, usable)
        # Boxes count alike over the whole batch, so that the loss of a sample is a sum, and their
        # mean is right also where the batch goes through in parts.
        mask = batch["mask"]
        weight = weight * mask[:, None]
        valid = weight > 0
        weight = weight * (mask.sum() / jnp.maximum(weight.sum(), 1))
        return batch | {"rois": rois, "valid": valid, "target": target, "weight": weight}

    def _labeled(self, annotated, box_mask, label, proposals, proposal_mask):
        """Label the annotated boxes and the proposals of one key frame, in this order.

        Returns:
          boxes (k + n, 4), targets (k + n, c), and bool (k + n,): which have a label.
        """
        owner = boxes.assign(proposals, annotated, box_mask, self.match)
        usable = jnp.concatenate([box_mask > 0, (owner >= 0) & (proposal_mask > 0)])
        targets = jnp.concatenate([label, label[owner]]).astype(jnp.float32)
        return jnp.concatenate([annotated, proposals]), targets, usable

    def _draw(self, rng, rois, targets, usable):
        """Draw the boxes of one key frame that are trained on: (r, 4), (r, c), and weights (r,)."""
        chosen, weight = boxes.choose(rng, usable, min(self.rois, len(usable)))
        return rois[chosen], targets[chosen], weight

    def inputs(self, batch):
        given = {"video": batch["video"][:, 0], "boxes": batch["rois"], "valid": batch["valid"]}
        return given | ({"bank": batch["bank"]} if "bank" in batch else {})

    def loss(self, out, batch):  # out (b, r, c)
        target, weight = batch["target"], batch["weight"]
        if self.multi_label:
            loss = optax.sigmoid_binary_cross_entropy(out, target)
            loss = losses.focal(loss, *self.focal).mean(-1)
        else:
            loss = losses.focal(losses.cross_entropy(out, target), *self.focal)
        # not lax.top_k, see `boxes.choose`
        top = out >= jnp.sort(out)[..., -min(TOP, self.num_classes), None]
        recall = (top * target).sum(-1) / jnp.maximum(target.sum(-1), 1)
        mask = batch["mask"]
        total = losses.masked_mean((weight * loss).sum(1), mask)
        return total, {"recall_top3": losses.masked_mean((weight * recall).sum(1), mask)}

    def predict(self, out, batch):  # out (b, n, c), or (b, k + n, c) where boxes are annotated
        """Return the scores of the proposals, and boxes in pixels of the original video."""
        squash = jax.nn.sigmoid if self.multi_label else jax.nn.softmax
        found = {"score": squash(out[:, -batch["proposals"].shape[1] :])}
        back = 1 / batch["scale"][:, None, jnp.array([1, 0, 1, 0])]
        for key in ("proposals", "boxes"):
            if key in batch:
                found[key] = batch[key] * back
        kept = ("proposal_mask", "box_mask", "box_label", "tube", "clip", "time", "excluded")
        return found | {key: batch[key] for key in kept if key in batch}

    def metrics(self):
        if self.metric == "ava":
            return [AvaMAP(self.num_classes, self.unscored, self.groups, self.both)]
        if self.metric == "ucf24":
            return [ActionTubeMAP(self.num_classes, self.unscored)]
        return [MultiSportsMAP(self.num_classes, self.unscored, self.both)]

    def describe(self, preds, names, topk=None):
        """Return the `topk` (3) most likely classes of each box."""
        real = preds["proposal_mask"] > 0
        score, found = preds["score"][real], preds["proposals"][real]
        order = np.argsort(-score, axis=1, kind="stable")[:, : topk or TOP]
        return Detected(
            labels=tuple(tuple(names[i] for i in row) for row in order),
            scores=tuple(map(tuple, np.take_along_axis(score, order, 1).tolist())),
            boxes=tuple(map(tuple, found.tolist())),
            time=float(preds["time"]),
        )

    def report(self, preds, ids, names):
        """Return a report with the scores of all boxes, and a row per class."""
        metric = self.metrics()[0]
        metric.update(preds | {"mask": np.ones(len(ids))})
        rows = metric.per_class(names)
        keys = ("score", "proposals", "proposal_mask", "time")
        files = {
            "predictions.npz": dict(id=np.array(ids), **{key: preds[key] for key in keys}),
            "report.csv": [type(rows[0])._fields, *rows],
        }
        weakest = sorted((r for r in rows if r.n and r.ap == r.ap), key=lambda r: r.ap)[:5]
        listed = ", ".join(f"{r.name} {r.ap:.0%}" for r in weakest)
        return Report(files, [f"weakest classes: {listed}"])


build = Detection
