"""Fast R-CNN on clips (Girshick, 2015; Gu et al., 2018, AVA): actions of people in given boxes.

https://arxiv.org/abs/1705.08421. The features of another family's backbone, averaged over time, are
resampled to the boxes of the key frame, and each box is classified.

Shapes: b batch, t frames, n boxes, h height, w width, c channels.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Backbone, Rate
from jaxvid.errors import UserError
from jaxvid.ops.roi_align import roi_align
from jaxvid.weights.convert import Weights

# A detector has no sizes of its own. This spec is for tests.
VARIANTS: dict[str, dict] = {"test": dict(backbone=dict(name="slowonly", variant="test"))}
BINS = 8  # along each side of a box


class RoIHead(nn.Module):
    """Features (b, t, h, w, c), or a tuple of pathways, and boxes (b, n, 4) -> (b, n, classes).

    Attributes:
      num_classes: Number of logits of a box.
      stride: Pixels of a frame from one feature to the next.
      background, pool, context, mlp, dropout: See `build`.
      dtype: Compute dtype; parameters and logits are float32.
      relation: Relates boxes to more than themselves, before they are classified. It takes their
        features (b, n, 8, 8, c), the maps of the frames (b, h, w, c), and `valid` and `bank` of
        `FastRCNN`. None leaves the features as they are.
    """

    num_classes: int
    stride: int
    background: bool
    pool: str
    context: bool
    mlp: bool
    dropout: float
    dtype: Any
    relation: nn.Module | None = None

    @nn.compact
    def __call__(self, features, boxes, valid=None, bank=None, *, train):
        over_time = {"avg": jnp.mean, "max": jnp.max}[self.pool]
        maps = jnp.concatenate([over_time(x, axis=1) for x in jax.tree.leaves(features)], -1)
        x = roi_align(maps, boxes, BINS, 1 / self.stride)
        if self.context:
            whole = bin_means(maps, BINS)[:, None]
            x = jnp.concatenate([x, jnp.broadcast_to(whole, x.shape)], -1)
        if self.relation:
            x = self.relation(x, maps, valid, bank, train=train)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        x = x.max((2, 3))
        init = nn.initializers.glorot_normal()
        if self.mlp:
            x = nn.relu(nn.Dense(x.shape[-1], dtype=self.dtype, kernel_init=init, name="hidden")(x))
        outputs = self.num_classes + self.background
        x = nn.Dense(outputs, dtype=self.dtype, kernel_init=init, name="fc")(x)
        return x[..., self.background :].astype(jnp.float32)


def bin_means(x, size):
    """Average (b, h, w, c) in bins: (b, size, size, c). Neighbors overlap if they share a pixel."""

    def share(pixels):
        i, pixel = np.arange(size)[:, None], np.arange(pixels)
        inside = (pixel >= i * pixels // size) & (pixel < -(-(i + 1) * pixels // size))
        return (inside / inside.sum(1, keepdims=True)).astype(x.dtype)

    return jnp.einsum("ph,qw,bhwc->bpqc", share(x.shape[1]), share(x.shape[2]), x)


class FastRCNN(nn.Module):
    """video (b, t, h, w, 3), boxes (b, n, 4) x1 y1 x2 y2 in its pixels -> logits (b, n, classes).

    Boxes may be padding. Their logits are meaningless, and they do not change those of other boxes.
    `valid` (b, n) is False for them. `bank` (b, m, c) has features of other times, for the model
    lfb.

    Raises:
      UserError: the head needs a bank and there is none, or the reverse.
    """

    backbone: nn.Module
    head: RoIHead

    def __call__(self, video, boxes, valid=None, bank=None, *, train):
        if (bank is None) == getattr(self.head.relation, "needs_bank", False):
            raise UserError(
                "the model lfb, and no other, needs a feature bank: set config.data.train.bank,"
                " config.data.val.bank and config.data.recipe.bank_window for it alone"
            )
        features = self.backbone(video, train=train)
        return self.head(features, boxes, valid, bank, train=train)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, with five boxes in each."""
    return {
        "video": jax.ShapeDtypeStruct((2, 8, 32, 32, 3), jnp.float32),
        "boxes": jax.ShapeDtypeStruct((2, 5, 4), jnp.float32),
    }


def build(
    *,
    backbone: Backbone,
    num_classes,
    background: bool = False,
    pool: Literal["avg", "max"] = "avg",
    context: bool = False,
    mlp: bool = False,
    dropout: Rate = 0.5,
    dtype=jnp.float32,
):
    """Return the detector.

    Args:
      backbone: The family that computes the features, such as dict(name="slowfast", variant="r50").
        With strides=(1, 2, 2, 1), as published, the features of a ResNet have 1/16 of the frame
        size instead of 1/32.
      background: Add an output for "no class" at the start of the linear layer, because published
        weights have it. It is not used and not trained.
      pool: Pooling over time, by the mean or the maximum.
      context: Add the features of the whole frame to those of each box.
      mlp: Add a hidden layer before the output layer.
      dropout: Dropout rate before the maximum over the bins of a box, in training.

    Raises:
      UserError: the backbone gives no map of the frame.
    """
    return detector(backbone, num_classes, background, pool, context, mlp, dropout, dtype)


def detector(backbone: Any, num_classes: int, *options: Any, **relation: Any) -> FastRCNN:
    """Return the detector with the fields of its head.

    Raises:
      UserError: the backbone gives no map of the frame.
    """
    if not hasattr(backbone, "stride"):
        kind = type(backbone).__name__
        raise UserError(f"config.model.backbone: a detector needs a map of the frame; not {kind}")
    return FastRCNN(backbone, RoIHead(num_classes, backbone.stride, *options, **relation))


# Weights


def openmmlab(net):
    """Return the rename rows of the head; those of the backbone are in the table of its family.

    "roi_head.bbox_head.fc_cls.weight" -> "head/fc/kernel"
    """
    head = "roi_head.bbox_head.fc_cls"
    if net.head.mlp:
        return ((f"{head}.0", "head/hidden"), (f"{head}.2", "head/fc"))
    return ((head, "head/fc"),)


WEIGHTS = {"mmaction": Weights(openmmlab)}
