"""CSPNeXt, the backbone of RTMDet and RTMPose (Lyu et al., "RTMDet", 2022).

A stage halves the frame, and then sends half of its channels through residual blocks with large
depthwise kernels. The other half bypasses them (Wang et al., CSPNet, 2020).

Shapes: b batch, h height, w width, c channels.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxvid.config.values import Count
from jaxvid.layers.conv import Conv, ConvNorm
from jaxvid.layers.norm import BatchNorm, NormalizedNet
from jaxvid.ops.pooling import max_pool

# For each stage: channels after it, its blocks, and whether they have shortcuts; width and depth 1.
STAGES = ((128, 3, True), (256, 6, True), (512, 6, True), (1024, 3, False))
STEM = 64
POOLS = (5, 9, 13)  # windows of the pooling before the last stage


class Separable(nn.Module):
    """A depthwise and a pointwise convolution, each with normalization and SiLU."""

    features: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, h, w, c) -> (b, h', w', features)
        make = partial(ConvNorm, norm=self.norm, activation=nn.silu, dtype=self.dtype)
        c = x.shape[-1]
        x = make(c, self.kernel, self.strides, groups=c, name="depthwise_conv")(x, train=train)
        return make(self.features, (1, 1), name="pointwise_conv")(x, train=train)


class Block(nn.Module):
    """A 3 x 3 and a 5 x 5 convolution: (b, h, w, c) -> the same shape.

    Attributes:
      separable: Whether the first convolution is a `Separable`, too.
      shortcut: Whether to add the input.
    """

    separable: bool
    shortcut: bool
    norm: Callable
    dtype: Any

    @nn.compact
    def __call__(self, x, train):
        c, known = x.shape[-1], dict(norm=self.norm, dtype=self.dtype)
        y = conv3(c, self.separable, **known, name="conv1")(x, train=train)
        y = Separable(c, (5, 5), **known, name="conv2")(y, train=train)
        return x + y if self.shortcut else y


class CSPLayer(nn.Module):
    """Blocks on half of the channels, beside the other half: (b, h, w, c) -> (b, h, w, features).

    Attributes:
      depth: Number of blocks.
      attention: Whether to scale each channel by a gate that depends on the means of all.
      separable, shortcut: See `Block`.
      remat: Recompute the blocks in the backward pass.
    """

    features: int
    depth: int
    attention: bool = False
    separable: bool = False
    shortcut: bool = False
    remat: bool = False
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):
        make = partial(ConvNorm, norm=self.norm, activation=nn.silu, dtype=self.dtype)
        block = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        half = self.features // 2
        short = make(half, (1, 1), name="short_conv")(x, train=train)
        main = make(half, (1, 1), name="main_conv")(x, train=train)
        for i in range(self.depth):
            fields = self.separable, self.shortcut, self.norm, self.dtype
            main = block(*fields, name=f"block{i}")(main, train)
        x = jnp.concatenate([main, short], -1)
        if self.attention:
            means = x.mean((1, 2), keepdims=True)
            gates = Conv(self.features, (1, 1), use_bias=True, dtype=self.dtype, name="fc")(means)
            x = x * nn.hard_sigmoid(gates)
        return make(self.features, (1, 1), name="final_conv")(x, train=train)


class CSPNeXt(NormalizedNet):
    """image (b, h, w, c) -> feature maps (b, h / 8, w / 8, c1), h / 16 and h / 32.

    Attributes:
      stem: Channels of the stem.
      stages: For each stage, its channels, the number of its blocks, and whether they have
        shortcuts.
      separable: Whether 3 x 3 convolutions after the stem are depthwise separable.
    """

    stem: Count = STEM
    stages: tuple[tuple[Count, Count, bool], ...] = STAGES
    separable: bool = False

    @nn.compact
    def __call__(self, image, *, train):
        known: dict[str, Any] = dict(norm=self.norm, dtype=self.dtype)
        make = partial(ConvNorm, activation=nn.silu, **known)
        x, half = image, self.stem // 2
        for i, (width, stride) in enumerate(((half, 2), (half, 1), (self.stem, 1))):
            x = make(width, (3, 3), (stride, stride), name=f"stem{i}")(x, train=train)
        maps = []
        for s, (width, depth, shortcut) in enumerate(self.stages, 1):
            x = conv3(width, self.separable, (2, 2), **known, name=f"stage{s}_0")(x, train=train)
            last = s == len(self.stages)
            if last:
                x = make(width // 2, (1, 1), name=f"stage{s}_1_conv1")(x, train=train)
                pools = [max_pool(x, (n, n), (1, 1), (n // 2, n // 2)) for n in POOLS]
                x = jnp.concatenate([x, *pools], -1)
                x = make(width, (1, 1), name=f"stage{s}_1_conv2")(x, train=train)
            options = dict(separable=self.separable, shortcut=shortcut, remat=self.remat)
            layer = CSPLayer(width, depth, True, **options, **known, name=f"stage{s}_{1 + last}")
            x = layer(x, train=train)
            maps.append(x)
        return tuple(maps[-3:])


def conv3(features, separable, strides=(1, 1), *, norm, dtype, name):
    """Return a 3 x 3 convolution with normalization and SiLU."""
    if separable:
        return Separable(features, (3, 3), strides, norm=norm, dtype=dtype, name=name)
    known: dict[str, Any] = dict(norm=norm, dtype=dtype, activation=nn.silu)
    return ConvNorm(features, (3, 3), strides, **known, name=name)


def scaled(width: float, depth: float) -> dict[str, Any]:
    """Return the options of a CSPNeXt of other width and depth, as published."""
    stages = tuple((int(c * width), max(round(n * depth), 1), own) for c, n, own in STAGES)
    return dict(stem=int(STEM * width), stages=stages)


def names(net: CSPNeXt) -> list[tuple[str, str]]:
    """Return rename rows of OpenMMLab's files.

    "backbone.stage2.1.blocks.0.conv1.conv.weight" -> "backbone/stage2_1/block0/conv1/conv/kernel"
    """
    last = len(net.stages)
    return [
        ("backbone.stem.{i}", "backbone/stem{i}"),
        ("backbone.stage{s}.{i}", "backbone/stage{s}_{i}"),
        ("backbone.stage{s}.{i}.blocks.{b}", "backbone/stage{s}_{i}/block{b}"),
        ("backbone.stage{s}.{i}.attention.fc", "backbone/stage{s}_{i}/fc"),
        (f"backbone.stage{last}.1.conv1", f"backbone/stage{last}_1_conv1"),
        (f"backbone.stage{last}.1.conv2", f"backbone/stage{last}_1_conv2"),
    ]
