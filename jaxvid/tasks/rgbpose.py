"""Recognition with a classifier of the video and one of the pose, as in RGBPose-Conv3D.

Shapes: b batch, v views, c classes.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import NonNegative
from jaxvid.errors import UserError
from jaxvid.metrics.classification import Accuracy
from jaxvid.tasks.recognition import Recognition

MODALITIES = ("rgb", "pose")


@dataclass(frozen=True, kw_only=True)
class RGBPose(Recognition):
    """Recognition by two classifiers, whose losses are added and whose probabilities are averaged.

    The metrics are those of the average, and `rgb_top1` and `pose_top1` of each classifier.

    Attributes:
      keys: Names of the arrays of the batch that are the inputs of the model, each (b, v, ...).
        Arrays of uint8, such as "video", are pixels and are normalized. Other arrays, such as heat
        maps, are not changed.
      loss_weights: Weights of the losses of the video and of the pose.
      fusion: Weights of the probabilities of the video and of the pose. Published are 1:1, 2:1 and
        1:2.

    Raises:
      UserError: both weights of the fusion are 0.
    """

    keys: tuple[str, ...] = ("video", "heatmap")
    loss_weights: tuple[NonNegative, NonNegative] = (1.0, 1.0)
    fusion: tuple[NonNegative, NonNegative] = (1.0, 1.0)

    def __post_init__(self):
        super().__post_init__()
        if not any(self.fusion):
            raise UserError("config.task.fusion: one of the weights must be above 0")

    def loss(self, out, batch):  # out: (b v, c) of the video, and of the pose
        found = [self._loss(scores, batch) for scores in out]
        total = sum(w * loss for w, (loss, _) in zip(self.loss_weights, found, strict=True))
        logs: dict[str, Any] = {"top1": self._loss(sum(out), batch)[1]["top1"]}
        for name, (loss, own) in zip(MODALITIES, found, strict=True):
            logs |= {f"loss_{name}": loss, f"{name}_top1": own["top1"]}
        return total, logs

    def predict(self, out, batch):  # out as in `loss` -> score, rgb, pose (b, c)
        each = [super(RGBPose, self).predict(scores, batch) for scores in out]
        shares = jnp.array(self.fusion) / sum(self.fusion)
        score = sum(w * preds["score"] for w, preds in zip(shares, each, strict=True))
        named = {n: preds["score"] for n, preds in zip(MODALITIES, each, strict=True)}
        return each[0] | named | {"score": score}

    def metrics(self):
        return [*super().metrics(), *(OfModality(name, self.num_classes) for name in MODALITIES)]


class OfModality(Accuracy):
    """Top-1 accuracy of one of the classifiers."""

    def __init__(self, name: str, num_classes: int):
        super().__init__(num_classes, topk=(1,))
        self.name = name

    @property
    def larger_is_better(self) -> tuple[str, ...]:
        return (f"{self.name}_top1",)

    def update(self, preds: dict[str, Any]) -> None:
        super().update(preds | {"score": np.asarray(preds[self.name])})

    def compute(self) -> dict[str, float]:
        return {f"{self.name}_top1": super().compute()["top1"]}


build = RGBPose
