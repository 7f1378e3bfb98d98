"""Convolution as a layer, alone and with what usually follows it.

Shapes: b batch, c channels. A kernel spans as many axes before the channels as it has sizes.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxvid.layers.norm import BatchNorm
from jaxvid.ops import conv as ops

Ints = tuple[int, ...]
# For ReLU networks (He et al., 2015), as the published recipes initialize.
he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
# The default of PyTorch's convolutions and linear layers: uniform within 1 / sqrt(fan in).
torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Conv(nn.Module):
    """A convolution. By default, its padding keeps the size if kernels are odd and strides are 1.

    Attributes:
      kernel: Size along each axis.
      strides, dilation: One number for each axis; () means 1.
      padding: Zeros on both sides along each axis; None means half of the kernel.
      groups: Number of groups of channels that are convolved separately. As many groups as channels
        make a depthwise convolution.
    """

    features: int
    kernel: Ints
    strides: Ints = ()
    padding: Ints | None = None
    dilation: Ints = ()
    groups: int = 1
    use_bias: bool = False
    kernel_init: Callable = he_normal
    bias_init: Callable = nn.initializers.zeros
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):  # (b, ..., c) -> (b, ..., features)
        strides = self.strides or (1,) * len(self.kernel)
        dilation = self.dilation or (1,) * len(self.kernel)
        pads = zip(self.kernel, dilation, strict=True)
        padding = self.padding or tuple((k - 1) * d // 2 for k, d in pads)
        shape = (*self.kernel, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        x = ops.conv(x, kernel, strides, padding, dilation, self.groups)
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,))
            x = x + bias.astype(self.dtype)
        return x


class ConvNorm(nn.Module):
    """Convolution, batch normalization, and `activation` unless `relu` is False.

    Attributes:
      groups, kernel_init: See `Conv`.
    """

    features: int
    kernel: Ints
    strides: Ints = ()
    relu: bool = True
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32
    groups: int = 1
    kernel_init: Callable = he_normal
    activation: Callable = nn.relu

    @nn.compact
    def __call__(self, x, *, train):  # (b, ..., c) -> (b, ..., features)
        options: dict[str, Any] = dict(groups=self.groups, kernel_init=self.kernel_init)
        shape = self.features, self.kernel, self.strides
        x = Conv(*shape, **options, dtype=self.dtype, name="conv")(x)
        x = self.norm(dtype=self.dtype, name="bn")(x, train=train)
        return self.activation(x) if self.relu else x


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from the means of all (Hu et al., 2018).

    Attributes:
      hidden: Channels between the two layers that compute the gates.
    """

    hidden: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):  # (b, ..., c) -> the same
        space = tuple(range(1, x.ndim - 1))
        means = x.mean(space, keepdims=True)
        options: dict[str, Any] = dict(kernel=(1,) * len(space), use_bias=True, dtype=self.dtype)
        gates = nn.relu(Conv(self.hidden, **options, name="fc1")(means))
        return x * nn.sigmoid(Conv(x.shape[-1], **options, name="fc2")(gates))
