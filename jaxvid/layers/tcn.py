"""Convolution over the frames of a skeleton sequence.

Shapes: b batch, t frames, j joints, c channels.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxvid.layers.conv import Conv
from jaxvid.layers.norm import BatchNorm


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
