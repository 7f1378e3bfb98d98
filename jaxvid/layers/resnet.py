"""Residual networks (He et al., 2015) for frames and for clips, which families extend.

One class serves 2-D recognizers, whose kernels span (height, width) and which treat every frame
alike, and 3-D ones, whose kernels also span time (Feichtenhofer et al., 2019). A family derives its
network from `ResNet` and overrides `block` or `kernels` (other blocks), `enter` (what precedes a
stage), `stem_conv` or `first` (another beginning). It derives its blocks from `Block` and overrides
`conv`.

Shapes: b batch, t frames, h height, w width, c channels.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count
from jaxvid.layers.conv import ConvNorm, Ints
from jaxvid.layers.norm import BatchNorm
from jaxvid.ops.pooling import max_pool

DEPTHS = {
    "r18": dict(depths=(2, 2, 2, 2), bottleneck=False),
    "r34": dict(depths=(3, 4, 6, 3), bottleneck=False),
    "r50": dict(depths=(3, 4, 6, 3)),
    "r101": dict(depths=(3, 4, 23, 3)),
    "r152": dict(depths=(3, 8, 36, 3)),
}


class Block(nn.Module):
    """Two or three convolutions and a shortcut around them.

    Attributes:
      features: Channels that each convolution makes.
      kernels: Kernel of each convolution, over (h, w) or (t, h, w).
      strides: Strides of the block, over the same axes. The last convolution but one applies them.
      zero_init: Start the normalization of the last convolution at 0.
      groups: Groups of channels of the last convolution but one.
      norm: Makes the normalization layers; takes the arguments of `BatchNorm`.
      conv_norm: Makes the convolutions with their normalization; takes the arguments of `ConvNorm`.
      dtype: Compute dtype.
    """

    features: Ints
    kernels: tuple[Ints, ...]
    strides: Ints
    zero_init: bool = False
    groups: int = 1
    norm: Callable = BatchNorm
    conv_norm: Callable = ConvNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = x
        for i in range(len(self.kernels)):
            y = self.conv(i, y, train)
        if x.shape[-1] != y.shape[-1] or max(self.strides) > 1:
            x = self.shortcut(x, train)
        return nn.relu(x + y)

    def conv(self, i: int, x: jax.Array, train: bool) -> jax.Array:
        """Apply convolution `i`, from 0, with its normalization, and a ReLU unless it is the last.

        Parameters are below "conv1", "conv2" ...
        """
        last = len(self.kernels) - 1
        start = nn.initializers.zeros if self.zero_init and i == last else nn.initializers.ones
        grouped = dict(groups=self.groups) if self.groups > 1 and i == last - 1 else {}
        return self.conv_norm(
            self.features[i],
            self.kernels[i],
            self.strides if i == last - 1 else (),
            relu=i < last,
            norm=partial(self.norm, scale_init=start),
            dtype=self.dtype,
            **grouped,
            name=f"conv{i + 1}",
        )(x, train=train)

    def shortcut(self, x: jax.Array, train: bool) -> jax.Array:
        """Give the input the shape of the result, where it has another one."""
        kernel = (1,) * len(self.strides)
        options: dict[str, Any] = dict(norm=self.norm, dtype=self.dtype, name="downsample")
        project = self.conv_norm(self.features[-1], kernel, self.strides, relu=False, **options)
        return project(x, train=train)


class ResNet(nn.Module):
    """video (b, t, h, w, c) -> features (b, t, h / 32, w / 32, c').

    Attributes:
      depths: Blocks in each stage.
      bottleneck: Use bottleneck blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions. If False, use blocks
        of two 3 x 3 convolutions.
      width: Channels of the first convolution; each stage doubles them.
      stem: Kernel size of the first convolution. (h, w) makes the network 2-D, and (t, h, w) makes
        it 3-D.
      time: For 3-D networks: temporal kernel size of the first convolution in the blocks of each
        stage.
      strides: Spatial stride of each stage.
      zero_init: Initialize the scale of the last normalization of each residual branch with 0.
      bn_groups: Number of equal groups of consecutive samples that a batch is divided into. Each
        group is normalized with its own statistics, as on that number of GPUs without SyncBN.
      bn_frozen: Normalize with the running statistics in training, too, and do not update them.
      remat: Recompute the blocks in the backward pass instead of storing their activations. This
        saves memory and makes training slower.
      levels: Number of last stages whose features are returned, as a tuple if there are several. A
        head that needs them sets it.
    """

    depths: tuple[Count, ...]
    bottleneck: bool = True
    width: Count = 64
    stem: tuple[Count, ...] = (7, 7)
    time: tuple[Count, ...] = (1, 1, 1, 1)
    strides: tuple[Count, ...] = (1, 2, 2, 2)
    zero_init: bool = False
    bn_groups: Count = 1
    bn_frozen: bool = False
    remat: bool = False
    dtype: Any = jnp.float32
    levels: Any = 1

    def setup(self):
        self.conv1 = self.stem_conv()
        for s, depth in enumerate(self.depths):
            setattr(self, f"layer{s + 1}", [self.block(s, i) for i in range(depth)])

    def __call__(self, video: jax.Array, *, train: bool) -> Any:
        x, stages = self.first(video, train), []
        for s in range(len(self.depths)):
            x = self.stage(s, x, train)
            stages.append(x)
        return x if self.levels == 1 else tuple(stages[-self.levels :])

    def first(self, video: jax.Array, train: bool) -> jax.Array:
        """Apply the stem: (b, t, h, w, c) -> (b, t, h / 4, w / 4, width)."""
        return max_pool(self.conv1(video, train=train), (3, 3), (2, 2), (1, 1))

    def stage(self, s: int, x: jax.Array, train: bool) -> jax.Array:
        """Apply stage `s`, from 0: (b, t, h, w, c) -> (b, t', h', w', c')."""

        def apply(block, x):
            return block(x, train)

        x = self.enter(s, x)
        for block in getattr(self, f"layer{s + 1}"):
            x = (nn.remat(apply) if self.remat else apply)(block, x)
        return x

    # What a family overrides; `nn.nowrap` is for methods that make modules

    @nn.nowrap
    def stem_conv(self) -> nn.Module:
        """Make the first convolution."""
        return ConvNorm(self.width, self.stem, self.lift(2, 2), norm=self.norm, dtype=self.dtype)

    def enter(self, stage: int, x: jax.Array) -> jax.Array:
        """Return what the first block of a stage, from 0, is given."""
        return x

    @nn.nowrap
    def block(self, stage: int, i: int, kind: type[Block] = Block, **fields: Any) -> nn.Module:
        """Make block `i` of a stage, both from 0: a `kind`, with other or more `fields`."""
        narrow, stride = self.width * 2**stage, 1 if i else self.strides[stage]
        plain = dict(
            features=(narrow, narrow, 4 * narrow) if self.bottleneck else (narrow, narrow),
            kernels=self.kernels(stage, i),
            strides=self.lift(stride, stride),
            zero_init=self.zero_init,
            norm=self.norm,
            dtype=self.dtype,
        )
        return kind(**{**plain, **fields})

    def kernels(self, stage: int, i: int) -> tuple[Ints, ...]:
        """Return the kernels of block `i` of a stage, both from 0."""
        time = self.time[stage] if self.spans_time else 1
        if self.bottleneck:
            return self.lift(1, 1, time), self.lift(3, 3), self.lift(1, 1)
        return self.lift(3, 3, time), self.lift(3, 3)

    @property
    def stride(self) -> int:
        """Pixels of a frame from one feature to the next."""
        return 4 * math.prod(self.strides[: len(self.depths)])

    @property
    def spans_time(self) -> bool:
        """True if kernels are 3-D."""
        return len(self.stem) == 3

    @property
    def norm(self) -> Callable:
        """Makes the normalization layers."""
        return partial(BatchNorm, groups=self.bn_groups, frozen=self.bn_frozen)

    def lift(self, h: int, w: int, t: int = 1) -> Ints:
        """Return a kernel or strides over the axes that kernels span."""
        return (t, h, w) if self.spans_time else (h, w)


class R3D(ResNet):
    """The 3-D network of Tran et al. (2018), https://arxiv.org/abs/1711.11248, for families.

    Its 3 x 3 kernels are 3 x 3 x 3, and all stages but the first halve the number of frames, too.

    Attributes:
      time: Temporal size of the 3 x 3 x 3 kernels in the blocks of each stage.
      time_strides: Temporal stride of each stage.
    """

    stem: tuple[Count, ...] = (3, 7, 7)
    time: tuple[Count, ...] = (3, 3, 3, 3)
    time_strides: tuple[Count, ...] = (1, 2, 2, 2)

    @nn.nowrap
    def block(self, stage, i, kind=Block, **fields):
        strides = self.time_strides[stage], self.strides[stage], self.strides[stage]
        return super().block(stage, i, kind, **{"strides": (1, 1, 1) if i else strides, **fields})

    def kernels(self, stage, i):
        cube, point = (self.time[stage], 3, 3), (1, 1, 1)
        return (point, cube, point) if self.bottleneck else (cube, cube)

    @property
    def norm(self):
        return partial(super().norm, epsilon=1e-3)
