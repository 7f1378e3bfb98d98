"""The audio pathway of AVSlowFast alone (Xiao et al., 2020), https://arxiv.org/abs/2001.08740.

A ResNet on log-mel spectrograms whose early convolutions are factorized: one runs over time, one
over frequency, side by side. Late stages convolve over both at once.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Natural, Rate
from jaxvid.layers import heads, resnet, spectrogram
from jaxvid.layers.conv import Conv, ConvNorm, Ints
from jaxvid.layers.norm import BatchNorm
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=4, factorized=1),
    "r50": resnet.DEPTHS["r50"],
    "r101": resnet.DEPTHS["r101"],
    "r152": resnet.DEPTHS["r152"],
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return spectrogram.example(32, 16)


class Factorized(nn.Module):
    """Two convolutions side by side: (b, t, f, c) -> that over time, that over frequency.

    Attributes:
      features: Channels of each of the two.
      kernel: Lengths of both kernels.
      strides: Strides of both over (t, f).
    """

    features: int
    kernel: Ints
    strides: Ints = ()
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array]:
        time, frequency = self.kernel
        made: dict[str, Any] = dict(strides=self.strides, norm=self.norm, dtype=self.dtype)
        over_time = ConvNorm(self.features, (time, 1), **made, name="time")
        over_frequency = ConvNorm(self.features, (1, frequency), **made, name="frequency")
        return over_time(x, train=train), over_frequency(x, train=train)


class Stem(nn.Module):
    """The sum of a convolution over time and one over frequency, normalized once more."""

    features: int
    kernel: Ints
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:  # (b, t, f, 1) -> (b, t, f, c)
        made: dict[str, Any] = dict(norm=self.norm, dtype=self.dtype)
        time, frequency = Factorized(self.features, self.kernel, **made, name="conv")(
            x, train=train
        )
        return nn.relu(self.norm(dtype=self.dtype, name="bn")(time + frequency, train=train))


class AudioBlock(resnet.Block):
    """A bottleneck whose middle convolution has no normalization of its own.

    Attributes:
      factorized: Convolve over time and over frequency, and concatenate both.
    """

    factorized: bool = False

    def conv(self, i, x, train):
        if i != 1 or i == len(self.kernels) - 1:  # blocks of two convolutions are plain
            return super().conv(i, x, train)
        options: dict[str, Any] = dict(strides=self.strides, dtype=self.dtype, name="conv2")
        if not self.factorized:
            return Conv(self.features[i], self.kernels[i], **options)(x)
        pair = Factorized(self.features[i], self.kernels[i], norm=self.norm, **options)
        return jnp.concatenate(pair(x, train=train), -1)


class AudioOnly(spectrogram.SpectrogramResNet):
    """audio (b, t, f, 1) -> features (b, t / 8, f / 8, c).

    Attributes:
      stem: Length of the kernels of the first two convolutions, one over time and one over
        frequency. There is no pooling after them.
      factorized: Number of stages, from the first, that convolve over time and over frequency side
        by side.
    """

    width: Count = 32
    stem: tuple[Count, Count] = (9, 9)
    zero_init: bool = True
    factorized: Natural = 2

    @nn.nowrap
    def stem_conv(self):
        return Stem(self.width, self.stem, self.norm, self.dtype)

    def first(self, audio, train):
        return self.conv1(audio, train=train)

    @nn.nowrap
    def block(self, stage, i, kind=AudioBlock, **fields):
        return super().block(stage, i, kind, **{"factorized": stage < self.factorized, **fields})

    @property
    def stride(self):
        return super().stride // 4  # the stem keeps the size


def backbone(variant, **overrides):
    return AudioOnly(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `AudioOnly`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# "backbone.layer1.0.conv2.conv.conv_1.bn.weight" -> "backbone/layer1_0/conv2/time/bn/scale"
# "backbone.layer3.0.conv2.conv.weight" -> "backbone/layer3_0/conv2/kernel"
OPENMMLAB = (
    *names.OPENMMLAB,
    ("backbone.conv1.conv.conv_1", "backbone/conv1/conv/time"),
    ("backbone.conv1.conv.conv_2", "backbone/conv1/conv/frequency"),
    ("backbone.layer{s}.{b}.conv2.conv", "backbone/layer{s}_{b}/conv2"),
    ("backbone.layer{s}.{b}.conv2.conv.conv_1", "backbone/layer{s}_{b}/conv2/time"),
    ("backbone.layer{s}.{b}.conv2.conv.conv_2", "backbone/layer{s}_{b}/conv2/frequency"),
    ("cls_head.fc_cls", "head/fc"),
)
ORDER = names.ORDER.replace("conv bn", "conv_1 conv_2 conv bn")
WEIGHTS = {"mmaction": Weights(OPENMMLAB, names.BUFFERS, ORDER)}
