"""PoseC3D (Duan et al., 2022), https://arxiv.org/abs/2104.13586.

A 3-D convolutional network on key points that are drawn as heat maps, one channel for each joint or
limb. It is the slow pathway of SlowFast without its first stage and with half of its channels. The
paper also has light forms of C3D and X3D, published by PYSKL.

Shapes: b batch, t frames, h height, w width, j joints or limbs, c channels.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Rate
from jaxvid.layers import heads, resnet
from jaxvid.layers.conv import ConvNorm
from jaxvid.layers.norm import NormalizedNet
from jaxvid.models import x3d
from jaxvid.ops.pooling import max_pool
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2, 1), width=4),
    "r50": dict(depths=(4, 6, 3)),
    "c3d-light": dict(widths=((32,), (64,), (128, 128), (256, 256))),
    "x3d-shallow": dict(depths=(2, 5, 3), strides=(2, 2, 2)),
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"heatmap": jax.ShapeDtypeStruct((2, 4, 16, 16, 17), jnp.float32)}


class PoseSlowOnly(resnet.ResNet):
    """heatmap (b, t, h, w, j) -> features (b, t / 2, h / 8, w / 8, c).

    Attributes:
      time_strides: Temporal stride of each stage.
    """

    width: Count = 32
    stem: tuple[Count, ...] = (1, 7, 7)
    time: tuple[Count, ...] = (1, 3, 3)
    strides: tuple[Count, ...] = (2, 2, 2)
    time_strides: tuple[Count, ...] = (1, 1, 2)
    zero_init: bool = True

    def __call__(self, heatmap, *, train):
        return super().__call__(heatmap, train=train)

    def first(self, video, train):  # heat maps are small: the stem keeps their size
        return max_pool(self.conv1(video, train=train), (3, 3), (1, 1), (1, 1))

    @nn.nowrap
    def stem_conv(self):
        return ConvNorm(self.width, self.stem, norm=self.norm, dtype=self.dtype)

    @nn.nowrap
    def block(self, stage, i, kind=resnet.Block, **fields):
        strides = self.time_strides[stage], self.strides[stage], self.strides[stage]
        return super().block(stage, i, kind, **{"strides": (1, 1, 1) if i else strides, **fields})

    @property
    def stride(self):
        return super().stride // 4


class LightC3D(NormalizedNet):
    """heatmap (b, t, h, w, j) -> features (b, t, h / 8, w / 8, c): C3D with normalization.

    Attributes:
      widths: Channels of the convolutions in each stage.
    """

    widths: tuple[tuple[Count, ...], ...] = ((32,), (64,), (128, 128), (256, 256))
    levels: Any = 1

    @property
    def stride(self) -> int:
        """Pixels of a heat map from one feature to the next."""
        return 2 ** (len(self.widths) - 1)

    @nn.compact
    def __call__(self, heatmap, *, train):
        x, stages = heatmap, []
        for s, widths in enumerate(self.widths, 1):
            x = nn.avg_pool(x, (1, 2, 2), (1, 2, 2)) if stages else x
            for letter, width in zip("abcd", widths, strict=False):
                options = dict(norm=self.norm, dtype=self.dtype, name=f"conv{s}{letter}")
                layer = nn.remat(ConvNorm) if self.remat else ConvNorm
                x = layer(width, (3, 3, 3), **options)(x, train=train)
            stages.append(x)
        return x if self.levels == 1 else tuple(stages[-self.levels :])


class ShallowBlock(x3d.MobileBlock):
    """A block of X3D without gates, and without an activation after its depthwise convolution."""

    def conv(self, i, x, train):
        if i != 1:
            return resnet.Block.conv(self, i, x, train)
        options = dict(norm=self.norm, dtype=self.dtype, groups=x.shape[-1], relu=False)
        shape = self.features[1], self.kernels[1], self.strides
        return ConvNorm(*shape, **options, name="conv2")(x, train=train)


class ShallowX3D(x3d.X3D):
    """heatmap (b, t, h, w, j) -> features (b, t, h / 16, w / 16, c)."""

    strides: tuple[Count, ...] = (2, 2, 2)

    def __call__(self, heatmap, *, train):
        return super().__call__(heatmap, train=train)

    @nn.nowrap
    def block(self, stage, i, kind=ShallowBlock, **fields):
        return super().block(stage, i, kind, **fields)


NETWORKS = {"c3d-light": LightC3D, "x3d-shallow": ShallowX3D}


def backbone(variant, **overrides):
    return NETWORKS.get(variant, PoseSlowOnly)(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of the network of the variant.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# "backbone.layer1.0.conv2.bn.weight" -> "backbone/layer1_0/conv2/bn/scale"
ROWS = (
    *names.OPENMMLAB,
    ("backbone.conv1_s.conv", "backbone/conv1/space"),  # of X3D
    ("backbone.conv1_t", "backbone/conv1/time"),
    ("cls_head.fc_cls", "head/fc"),
)
ORDER = (
    "backbone cls_head conv1_s conv1_t conv1 conv1a conv2a conv3a conv3b conv4a conv4b conv2 conv3"
    " downsample layer1 layer2 layer3 conv5 fc_cls conv bn weight bias running_mean running_var"
)
WEIGHTS = {"mmaction": Weights(ROWS, names.BUFFERS, ORDER)}
