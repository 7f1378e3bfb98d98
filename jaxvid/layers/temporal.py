"""Convolutions over time of networks on features, initialized as in PyTorch.

Shapes: b batch, t bins of time, c channels, g groups.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.layers.conv import Conv, torch_uniform


def check(net, shape) -> None:
    """Raise a ValueError if features of a shape (b, t, c) do not fit `net.frames` and `channels`.

    `net.channels` of 0 fits any number.
    """
    if shape[1] != net.frames or net.channels not in (0, shape[2]):
        raise ValueError(f"features are (b, {net.frames}, {net.channels or 'any'}), not {shape}")


class GroupConv(nn.Module):
    """A grouped convolution over time, with ReLU.

    Attributes:
      size: Number of bins of the kernel.
      stride: Number of bins from one output to the next.
      padding: Zeros on both sides.
      activate: Apply ReLU.
    """

    features: int
    groups: int
    size: int = 3
    stride: int = 1
    padding: int = 1
    activate: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):  # (b, t, c) -> (b, t', features)
        shape = (self.size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", torch_uniform, shape)
        bias = self.param("bias", bias_init(shape), (self.features,))
        x = jnp.pad(x.astype(self.dtype), ((0, 0), (self.padding,) * 2, (0, 0)))
        x = x.reshape(*x.shape[:2], self.groups, -1)
        kernel = kernel.astype(self.dtype).reshape(*shape[:2], self.groups, -1)
        # XLA may gather a batch that is sharded over devices for a grouped convolution.
        count = (x.shape[1] - self.size) // self.stride + 1
        if count == 1:  # the kernel covers all bins
            x = jnp.einsum("bkgi,kigo->bgo", x[:, : self.size], kernel)[:, None]
        else:
            end = (count - 1) * self.stride + 1
            places = (x[:, k : k + end : self.stride] for k in range(self.size))
            first, *others = (
                jnp.einsum("btgi,igo->btgo", at, kernel[k]) for k, at in enumerate(places)
            )
            x = sum(others, first)
        x = x.reshape(*x.shape[:2], -1) + bias.astype(self.dtype)
        return nn.relu(x) if self.activate else x


def conv(features, kernel, x, dtype, name):
    """Return a convolution of x with bias."""
    bias = bias_init((*kernel, x.shape[-1], features))
    init: dict[str, Any] = dict(kernel_init=torch_uniform, bias_init=bias)
    return Conv(features, kernel, use_bias=True, **init, dtype=dtype, name=name)(x)


def dense(features, x, dtype, name):
    """Return a linear layer of x with bias."""
    init: dict[str, Any] = dict(kernel_init=torch_uniform)
    init["bias_init"] = bias_init((x.shape[-1], features))
    return nn.Dense(features, **init, dtype=dtype, name=name)(x)


def bias_init(kernel):
    """Return the initializer of a bias: uniform within 1 / sqrt(fan in) of the kernel's shape."""

    def init(key, shape, dtype=jnp.float32):
        bound = (kernel[-1] / math.prod(kernel)) ** 0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
