"""Convolutions over the frames of a skeleton sequence.

Shapes: b batch, t frames, j joints, c channels.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.layers.conv import Conv, he_normal
from jaxvid.layers.norm import BatchNorm
from jaxvid.ops.pooling import max_pool

# Over a number of frames so far apart, ("conv", 3, 2) and ("max", 3), or over none, ("linear",)
Part = tuple[str] | tuple[str, int] | tuple[str, int, int]


def pointwise(channels: int, features: int, stride: int = 1, **options) -> Conv:
    """Return a linear layer for each joint in each `stride`-th frame.

    By default, it has the initialization of PyTorch, as in the recipes.
    """
    bound = channels**-0.5

    def init(rng, shape, dtype=jnp.float32):
        return jax.random.uniform(rng, shape, dtype, -bound, bound)

    inits: Any = dict(use_bias=True, kernel_init=init, bias_init=init)
    return Conv(features, (1, 1), (stride, 1), **{**inits, **options})


normal: Any = partial(pointwise, kernel_init=he_normal, bias_init=nn.initializers.zeros)


class TemporalConv(nn.Module):
    """Every joint's convolution over time, batch normalization, dropout."""

    features: int
    stride: int = 1
    dropout: float = 0.0
    kernel: int = 9
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, j, c) -> (b, t / stride, j, features)
        kernel, strides = (self.kernel, 1), (self.stride, 1)
        conv = Conv(self.features, kernel, strides, use_bias=True, dtype=self.dtype, name="conv")
        x = self.norm(dtype=self.dtype, name="bn")(conv(x), train=train)
        return nn.Dropout(self.dropout, deterministic=not train)(x)


class MultiBranchConv(nn.Module):
    """Branches side by side that share the channels, and a linear map of them all.

    Attributes:
      branches: Each a convolution of a number of frames that are so far apart, ("conv", 3, 2), the
        maximum of a number of frames, ("max", 3), or ("linear",). The first one gets the channels
        that are left over.
    """

    features: int
    stride: int
    dropout: float
    branches: tuple[Part, ...]
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, j, c) -> (b, t / stride, j, features)
        share, rest = divmod(self.features, len(self.branches))
        parts = []
        for i, (kind, *sizes) in enumerate(self.branches):
            width, name = share + (0 if i else rest), f"branch{i}"
            if kind == "linear":
                part = pointwise(x.shape[-1], width, self.stride, dtype=self.dtype, name=name)(x)
            else:
                options: Any = dict(zip(("kernel", "apart"), sizes, strict=False), norm=self.norm)
                branch = Branch(width, self.stride, kind, **options, dtype=self.dtype, name=name)
                part = branch(x, train=train)
            parts.append(part)
        x = jnp.concatenate(parts, -1)
        x = nn.relu(self.norm(dtype=self.dtype, name="transform_bn")(x, train=train))
        x = pointwise(self.features, self.features, dtype=self.dtype, name="transform")(x)
        x = self.norm(dtype=self.dtype, name="bn")(x, train=train)
        return nn.Dropout(self.dropout, deterministic=not train)(x)


class MultiScaleConv(nn.Module):
    """Normalized branches side by side that share the channels, plus a shortcut; ReLU, dropout.

    The branches are convolutions of several time spans, the maximum of three frames, and a linear
    map, which gets the channels that are left over.

    Attributes:
      kernel: Number of frames of each convolution.
      apart: Distances between them, one for each convolution.
      residual: Add the shortcut. It is a linear map if the channels or the number of frames change.
      relu: Apply ReLU to the sum.
    """

    features: int
    stride: int = 1
    dropout: float = 0.0
    kernel: int = 3
    apart: tuple[int, ...] = (1, 2, 3, 4)
    residual: bool = False
    relu: bool = True
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, j, c) -> (b, t / stride, j, features)
        options: Any = dict(norm=self.norm, dtype=self.dtype)
        share, rest = divmod(self.features, len(self.apart) + 2)
        branch = partial(
            Branch, features=share, stride=self.stride, last_norm=True, linear=normal, **options
        )
        kinds = [*(dict(kind="conv", kernel=self.kernel, apart=d) for d in self.apart)]
        kinds += [dict(kind="max"), dict(kind="linear", features=share + rest)]
        parts = [branch(**kind, name=f"branch{i}")(x, train=train) for i, kind in enumerate(kinds)]
        y = jnp.concatenate(parts, -1)
        if self.residual:
            if x.shape[-1] != self.features or self.stride != 1:
                make = partial(TemporalConv, kernel=1, name="residual", **options)
                x = make(self.features, self.stride)(x, train=train)
            y += x
        y = nn.relu(y) if self.relu else y
        return nn.Dropout(self.dropout, deterministic=not train)(y)


class Branch(nn.Module):
    """A linear map, normalized, and after ReLU a convolution over time or a maximum, if any.

    Attributes:
      kind: "conv", "max" or "linear".
      kernel: Number of frames.
      apart: Distance between them.
      last_norm: Normalize the result, too.
      linear: Function of the numbers of channels and the stride that returns the linear map.
    """

    features: int
    stride: int
    kind: str
    kernel: int = 3
    apart: int = 1
    last_norm: bool = False
    linear: Callable = pointwise
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, j, c) -> (b, t / stride, j, features)
        sizes = x.shape[-1], self.features, self.stride if self.kind == "linear" else 1
        x = self.linear(*sizes, dtype=self.dtype, name="reduce")(x)
        x = self.norm(dtype=self.dtype, name="bn")(x, train=train)
        if self.kind == "linear":
            return x
        x = nn.relu(x)
        kernel, strides = (self.kernel, 1), (self.stride, 1)
        if self.kind == "max":
            x = max_pool(x, kernel, strides, (self.kernel // 2, 0))
        else:
            options: Any = dict(dilation=(self.apart, 1), use_bias=True, dtype=self.dtype)
            x = Conv(self.features, kernel, strides, **options, name="conv")(x)
        return self.norm(dtype=self.dtype, name="last_bn")(x, train=train) if self.last_norm else x
