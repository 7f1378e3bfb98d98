"""X3D (Feichtenhofer, 2020), https://arxiv.org/abs/2004.04730.

A 3-D network for mobile devices that was expanded along one axis after the other. Its blocks
convolve each channel by itself over time and space, between two convolutions of single positions,
and every second one scales its channels by gates. Time is never reduced: the sizes xs, s and m
differ only in the clips that they see, and l is deeper.

Shapes: b batch, t frames, h height, w width, c channels.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Positive, Rate
from jaxvid.layers import heads, resnet
from jaxvid.layers.conv import Conv, ConvNorm, SqueezeExcite
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import resnet as names

SHALLOW = dict(depths=(3, 5, 11, 7))
VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=8, strides=(2, 2)),
    "xs": SHALLOW,
    "s": SHALLOW,
    "m": SHALLOW,
    "l": dict(depths=(5, 10, 25, 15)),
}
HIDDEN = 2048  # channels of the head


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 4, 32, 32, 3), jnp.float32)}


class Stem(nn.Module):
    """Convolution over space, then one over time that keeps channels apart: halves the frame."""

    features: int
    norm: Any
    dtype: Any

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, h, w, c) -> (b, t, h / 2, w / 2, features)
        x = Conv(self.features, (1, 3, 3), (1, 2, 2), dtype=self.dtype, name="space")(x)
        options = dict(norm=self.norm, dtype=self.dtype, groups=self.features, name="time")
        return ConvNorm(self.features, (5, 1, 1), **options)(x, train=train)


class MobileBlock(resnet.Block):
    """A bottleneck whose middle convolution is depthwise, with gates and Swish after it.

    Attributes:
      squeeze: Hidden channels of the gates; 0 leaves the gates out.
    """

    squeeze: int = 0

    def conv(self, i, x, train):
        if i != 1:
            return super().conv(i, x, train)
        options = dict(norm=self.norm, dtype=self.dtype, groups=x.shape[-1], relu=False)
        shape = self.features[1], self.kernels[1], self.strides
        x = ConvNorm(*shape, **options, name="conv2")(x, train=train)
        if self.squeeze:
            x = SqueezeExcite(self.squeeze, self.dtype, name="gates")(x)
        return nn.swish(x)


class X3D(resnet.ResNet):
    """video (b, t, h, w, c) -> features (b, t, h / 32, w / 32, c').

    Attributes:
      expansion: Channels inside a block, as a multiple of those that it returns.
    """

    width: Count = 24
    stem: tuple[Count, ...] = (1, 3, 3)
    strides: tuple[Count, ...] = (2, 2, 2, 2)
    zero_init: bool = True
    expansion: Positive = 2.25

    @nn.compact
    def __call__(self, video, *, train):
        maps = super().__call__(video, train=train)
        *lower, x = maps if self.levels > 1 else (maps,)
        features = int(x.shape[-1] * self.expansion)
        options = dict(norm=self.norm, dtype=self.dtype, name="conv5")
        x = ConvNorm(features, (1, 1, 1), **options)(x, train=train)
        return (*lower, x) if lower else x

    def first(self, video, train):
        return self.conv1(video, train=train)

    @nn.nowrap
    def stem_conv(self):
        return Stem(self.width, self.norm, self.dtype)

    @nn.nowrap
    def block(self, stage, i, kind=MobileBlock, **fields):
        outer = self.width * 2**stage
        inner = int(outer * self.expansion)
        own = dict(
            features=(inner, inner, outer),
            kernels=((1, 1, 1), (3, 3, 3), (1, 1, 1)),
            squeeze=0 if i % 2 else rounded(inner / 16),
        )
        return super().block(stage, i, kind, **{**own, **fields})

    @property
    def stride(self):
        return super().stride // 2  # the stem has no pooling


def rounded(width: float) -> int:
    """Round a number of channels to a multiple of 8, at least 8 and not below 90 % of it."""
    near = max(8, int(width + 4) // 8 * 8)
    return near if near >= 0.9 * width else near + 8


class Classifier(heads.PoolClassifier):
    """A linear classifier with a hidden layer before it."""

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, h, w, c) -> (b, classes)
        dense = partial(nn.Dense, use_bias=False, dtype=self.dtype, name="hidden")
        x = dense(HIDDEN, kernel_init=nn.initializers.normal(self.init_std))(x.mean((1, 2, 3)))
        return super().__call__(nn.relu(x), train=train)


def backbone(variant, **overrides):
    return X3D(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `X3D`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = Classifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# "backbone.layer1.0.se_module.fc1.weight" -> "backbone/layer1_0/gates/fc1/kernel"
OPENMMLAB = (
    *names.OPENMMLAB,
    ("backbone.conv1_s.conv", "backbone/conv1/space"),
    ("backbone.conv1_t", "backbone/conv1/time"),
    ("backbone.layer{s}.{b}.se_module", "backbone/layer{s}_{b}/gates"),
    ("cls_head.fc1", "head/hidden"),
    ("cls_head.fc2", "head/fc"),
)
ORDER = (
    "backbone cls_head conv1_s conv1_t downsample conv1 conv2 conv3 se_module layer1 layer2 layer3"
    " layer4 conv5 fc1 fc2 conv bn weight bias running_mean running_var"
)
WEIGHTS = {"mmaction": Weights(OPENMMLAB, names.BUFFERS, ORDER)}
