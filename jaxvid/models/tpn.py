"""Temporal Pyramid Network (Yang et al., 2020), https://arxiv.org/abs/2004.03548.

The features of the last two stages of another family's backbone, each with its frames pooled, pass
information down and up between them, and both results are joined. In training, an auxiliary
classifier sees the features of the last stage but one.

Shapes: b batch, t frames, h height, w width, c channels; C channels of the last stage.
"""

import math
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Backbone, Count, Rate
from jaxvid.errors import UserError
from jaxvid.layers import heads
from jaxvid.layers.conv import Conv, ConvNorm
from jaxvid.weights.convert import Weights

# The head has no sizes of its own. This spec is for tests.
VARIANTS: dict[str, dict] = {"test": dict(backbone=dict(name="slowonly", variant="test"))}
GROUPS = 32  # of the narrow convolutions
LEVELS = (
    "a ResNet (tsn, tsm, trn, tin, tanet, resnext, c2d, i3d, csn, r2plus1d, slowonly, omnisource,"
    " x3d), slowfast, swin, swin2d or hiera"
)
xavier = nn.initializers.xavier_uniform()


class Fusion(nn.Module):
    """Joins the levels: (b, t, h, w, C / 2) each -> (b, t, h, w, C)."""

    dtype: Any

    @nn.compact
    def __call__(self, levels, *, train):
        width = levels[0].shape[-1]
        options: dict[str, Any] = dict(kernel=(1, 1, 1), kernel_init=xavier, dtype=self.dtype)
        groups = math.gcd(GROUPS, width)
        found = [
            ConvNorm(width, groups=groups, **options, name=f"level{i}")(x, train=train)
            for i, x in enumerate(levels)
        ]
        x = jnp.concatenate(found, -1)
        return ConvNorm(2 * width, **options, name="joined")(x, train=train)


class Pyramid(nn.Module):
    """Joins the last two stages: (b, t, h, w, c), (b, t, h / 2, w / 2, C) -> (b, t', h', w', C).

    Attributes:
      pool, flow: See `build`.
    """

    pool: int
    flow: str
    dtype: Any

    @nn.compact
    def __call__(self, levels, *, train):
        lower, upper = levels
        options: dict[str, Any] = dict(kernel_init=xavier, dtype=self.dtype)
        width, step = upper.shape[-1], round(lower.shape[2] / upper.shape[2])
        shape = width, (1, 3, 3), (1, step, step)
        levels = ConvNorm(*shape, **options, name="spatial")(lower, train=train), upper
        groups = math.gcd(GROUPS, width // 2)
        slow, fast = [
            pool_time(
                Conv(width // 2, (3, 1, 1), groups=groups, **options, name=f"temporal{i}")(x),
                self.pool * x.shape[1] // upper.shape[1],
            )
            for i, x in enumerate(levels)
        ]
        down = [slow + fast, fast]
        first = down if self.flow == "cascade" else [slow, fast]
        shift = Conv(width // 2, (3, 1, 1), **options, name="bottom_up")(first[0])
        up = [first[0], first[1] + shift]
        both = [
            Fusion(self.dtype, name=f"fusion{i}")(x, train=train)
            for i, x in enumerate((down, up), 1)
        ]
        x = jnp.concatenate(both, -1)
        return ConvNorm(width, (1, 1, 1), **options, name="pyramid")(x, train=train)


def pool_time(x: jax.Array, frames: int) -> jax.Array:
    """Return the maximum of every `frames` frames of (b, t, h, w, c); the last may be fewer."""
    pads: Any = ((0, -x.shape[1] % frames), (0, 0), (0, 0))
    return nn.max_pool(x, (frames, 1, 1), (frames, 1, 1), pads)


def joined(level: Any) -> jax.Array:
    """Join the pathways of a stage, such as slow and fast, at the frames of the first."""
    first, *others = jax.tree.leaves(level)
    frames = first.shape[1]
    return jnp.concatenate([first, *(x[:, :: -(-x.shape[1] // frames)] for x in others)], -1)


class Auxiliary(nn.Module):
    """Classifies the features of a lower stage, for a second loss in training."""

    num_classes: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, h, w, c) -> (b, classes), float32
        shape = 2 * x.shape[-1], (1, 3, 3), (1, 2, 2)
        options: dict[str, Any] = dict(kernel_init=xavier, dtype=self.dtype, name="conv1")
        x = ConvNorm(*shape, **options)(x, train=train)
        head = heads.PoolClassifier(self.num_classes, self.dropout, self.dtype, name="classifier")
        return head(x, train=train)


class Classifier(heads.PoolClassifier):
    """Scores, and those of the auxiliary classifier."""

    @nn.compact
    def __call__(self, x, lower, *, train):
        options = self.num_classes, self.dropout, self.dtype
        auxiliary = Auxiliary(*options, name="auxiliary")(lower, train=train)
        return super().__call__(x, train=train), auxiliary


class TPN(nn.Module):
    """video (b, t, h, w, 3) -> logits and auxiliary logits, (b, classes) each."""

    backbone: nn.Module
    neck: nn.Module
    head: nn.Module

    def __call__(self, video, *, train):
        levels = [joined(level) for level in self.backbone(video, train=train)]
        if len(levels) < 2:
            raise UserError("config.model.backbone: a TPN needs a network of two stages or more")
        return self.head(self.neck(levels, train=train), levels[0], train=train)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 4, 32, 32, 3), jnp.float32)}


def build(
    *,
    backbone: Backbone,
    num_classes,
    pool: Count = 8,
    flow: Literal["cascade", "parallel"] = "cascade",
    dropout: Rate = 0.5,
    dtype=jnp.float32,
):
    """Return the recognizer.

    Args:
      backbone: The family that computes the features, such as dict(name="slowonly", variant="r50").
        Its network must give the features of its last two stages.
      pool: Number of frames of the last stage of which the pyramid takes the maximum.
      flow: Order of the two ways through the pyramid. "cascade" goes up with the result of the way
        down, and "parallel" with the features themselves.
      dropout: Share of the features that is dropped before both classifiers in training.

    Raises:
      UserError: the backbone gives the features of its last stage alone.
    """
    if not hasattr(backbone, "levels"):
        kind = type(backbone).__name__
        raise UserError(
            "config.model.backbone: a TPN needs the features of the last two stages, which"
            f" {kind} does not give; use {LEVELS}"
        )
    head = Classifier(num_classes, dropout, dtype)
    return TPN(backbone.clone(levels=2), Pyramid(pool, flow, dtype), head)


# "neck.level_fusion_1.downsamples.0.conv.bn.weight" -> "neck/fusion1/level0/bn/scale"
OPENMMLAB = (
    ("neck.spatial_modulation.spatial_modulation.0.0", "neck/spatial"),
    ("neck.temporal_modulation_ops.{i}.conv.conv", "neck/temporal{i}"),
    ("neck.downsample_ops.0.conv.conv", "neck/bottom_up"),
    ("neck.level_fusion_{i}.downsamples.{j}.conv", "neck/fusion{i}/level{j}"),
    ("neck.level_fusion_{i}.fusion_conv", "neck/fusion{i}/joined"),
    ("neck.pyramid_fusion", "neck/pyramid"),
    ("neck.aux_head.conv", "head/auxiliary/conv1"),
    ("neck.aux_head.fc", "head/auxiliary/classifier/fc"),
    ("cls_head.fc_cls", "head/fc"),
)
WEIGHTS = {"mmaction": Weights(OPENMMLAB)}
