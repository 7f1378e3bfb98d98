"""R(2+1)D (Tran et al., 2018), https://arxiv.org/abs/1711.11248.

A 3-D ResNet in which every convolution is two: one over space, then one over time. There is a
normalization with a ReLU between them, and as many channels that both have about as many
parameters as the 3-D convolution.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Rate
from jaxvid.layers import heads, resnet
from jaxvid.layers.conv import ConvNorm, Ints
from jaxvid.layers.norm import BatchNorm
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=8, bottleneck=False),
    "r18": resnet.DEPTHS["r18"],
    "r34": resnet.DEPTHS["r34"],
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 4, 32, 32, 3), jnp.float32)}


class FactorizedConvNorm(nn.Module):
    """A `ConvNorm` over space with a ReLU, then one over time; the fields are those of `ConvNorm`.

    The inner normalization has the usual epsilon, 1e-5, where the outer one has 1e-3.
    """

    features: int
    kernel: Ints
    strides: Ints = ()
    relu: bool = True
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, h, w, c) -> (b, t', h', w', features)
        (time, *space), (step, *steps) = self.kernel, self.strides or (1, 1, 1)
        inner = partial(self.norm, epsilon=1e-5, scale_init=nn.initializers.ones)
        width = middle(x.shape[-1], self.features, *space)
        options: dict[str, Any] = dict(norm=inner, dtype=self.dtype, name="space")
        x = ConvNorm(width, (1, *space), (1, *steps), **options)(x, train=train)
        options |= dict(relu=self.relu, norm=self.norm, name="time")
        return ConvNorm(self.features, (time, 1, 1), (step, 1, 1), **options)(x, train=train)


def middle(channels: int, features: int, height: int, width: int) -> int:
    """Return the channels between the two convolutions, by the paper's formula for 3 frames.

    The published models use it for kernels of one frame, too.
    """
    area = height * width
    return 3 * area * channels * features // (area * channels + 3 * features)


class R2Plus1D(resnet.R3D):
    """video (b, t, h, w, c) -> features (b, t / 8, h / 32, w / 32, c')."""

    @nn.nowrap
    def stem_conv(self):
        strides = self.lift(2, 2)
        return FactorizedConvNorm(self.width, self.stem, strides, norm=self.norm, dtype=self.dtype)

    @nn.nowrap
    def block(self, stage, i, kind=resnet.Block, **fields):
        return super().block(stage, i, kind, **{"conv_norm": FactorizedConvNorm, **fields})


def backbone(variant, **overrides):
    return R2Plus1D(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `R2Plus1D`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# "backbone.layer2.0.conv1.conv.bn_s.weight" -> "backbone/layer2_0/conv1/space/bn/scale"
PARTS = {
    "conv.conv_s": "space/conv",
    "conv.bn_s": "space/bn",
    "conv.conv_t": "time/conv",
    "bn": "time/bn",
}
UNITS = {
    "conv1": "conv1",
    "layer{s}.{b}.conv{i}": "layer{s}_{b}/conv{i}",
    "layer{s}.{b}.downsample": "layer{s}_{b}/downsample",
}
ROWS = tuple(
    (f"backbone.{torch}.{theirs}", f"backbone/{unit}/{ours}")
    for torch, unit in UNITS.items()
    for theirs, ours in PARTS.items()
)
WEIGHTS = {
    "mmaction": Weights(
        (*ROWS, ("cls_head.fc_cls", "head/fc")), names.BUFFERS, f"{names.ORDER} conv_s bn_s conv_t"
    )
}
