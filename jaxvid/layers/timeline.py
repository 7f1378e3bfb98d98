"""Parts of detectors that find actions at the points of a pyramid of time.

Shapes: b batch, t steps of time, c channels, g heads, d channels of a head, w steps of a block. A
mask (b, t) is 1 for steps of the video and 0 for padding.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.errors import UserError
from jaxvid.layers.conv import Conv, torch_uniform
from jaxvid.layers.transformer import LayerScale, exact_gelu, norm
from jaxvid.ops.attention import attention
from jaxvid.ops.pooling import max_pool
from jaxvid.ops.position import interpolation, sine_cosine

PRIOR = 0.01  # probability of each class at each point before training


class Points(NamedTuple):
    """Predictions at the points of each level, whose stride is twice that of the level before.

    Attributes:
      logits: (b, t', classes) for each level, float32.
      offsets: (b, t', 1 or classes, 2) for each level: distances from the point to the start and to
        the end, in units of the stride, float32. They may differ between classes.
    """

    logits: tuple[jax.Array, ...]
    offsets: tuple[jax.Array, ...]


def step_mask(rows: jax.Array, steps: int) -> jax.Array:
    """Return the mask (b, steps) of sequences with `rows` (b,) steps."""
    return (jnp.arange(steps) < rows[:, None]).astype(jnp.float32)


def hide(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Set the padding of x (b, t, c) to 0."""
    return x * mask[..., None].astype(x.dtype)


def pool(x: jax.Array) -> jax.Array:
    """Return the maxima of three steps at every second one: (b, t, c) -> (b, t / 2, c)."""
    return max_pool(x, (3,), (2,), (1,))


def add_positions(x: jax.Array, mask: jax.Array, length: int) -> jax.Array:
    """Add a table of sines and cosines to x (b, t, c), and resize it if x has more steps.

    Args:
      length: Steps of the table; 0 adds nothing.
    """
    if not length:
        return x
    c, t = x.shape[-1], x.shape[1]
    table = sine_cosine(length, c) * c**-0.5
    table = table[:t] if t <= length else interpolation(length, t, "linear") @ table
    return x + hide(jnp.asarray(table, x.dtype)[None], mask)


class Depthwise(nn.Module):
    """A convolution of each channel by itself: (b, t, c) -> (b, t / stride, c).

    It is a sum of shifted products: for grouped convolutions, XLA may gather a batch that is
    sharded over devices.
    """

    kernel: int = 3
    stride: int = 1
    use_bias: bool = False
    kernel_init: Callable = torch_uniform
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        shape = (self.kernel, 1, x.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape).astype(self.dtype)
        t, half = x.shape[1], self.kernel // 2
        x = jnp.pad(x.astype(self.dtype), ((0, 0), (half, half), (0, 0)))
        parts = (x[:, i : i + t : self.stride] * kernel[i] for i in range(self.kernel))
        y = sum(parts, start=jnp.zeros((), self.dtype))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
            y = y + bias.astype(self.dtype)
        return y


class ConvNormRelu(nn.Module):
    """A convolution over three steps, layer normalization and ReLU: (b, t, c) -> (b, t, features).

    Attributes:
      hide_last: Padding is set to 0 after ReLU. If False, this is done before the normalization, so
        that padding has the values of its bias.
      epsilon: Number that is added to variances.
    """

    features: int
    hide_last: bool = True
    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, mask):
        x = Conv(self.features, (3,), kernel_init=torch_uniform, dtype=self.dtype, name="conv")(x)
        x = x if self.hide_last else hide(x, mask)
        x = nn.relu(norm("norm", self.dtype, self.epsilon)(x))
        return hide(x, mask) if self.hide_last else x


class Tower(nn.Module):
    """Convolutions of a head, and a last one without activation: (b, t, c) -> (b, t, features).

    Attributes:
      width: Channels of the convolutions.
      depth: Number of convolutions before the last one.
      bias: Initial value of the bias of the last convolution.
      hide_last, epsilon: See `ConvNormRelu`.
    """

    features: int
    width: int
    depth: int = 2
    bias: float = 0.0
    hide_last: bool = True
    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, mask):
        options = self.hide_last, self.epsilon, self.dtype
        for i in range(self.depth):
            x = ConvNormRelu(self.width, *options, name=f"conv{i}")(x, mask)
        start: Any = nn.initializers.constant(self.bias)
        last: Any = dict(use_bias=True, kernel_init=torch_uniform, bias_init=start)
        x = Conv(self.features, (3,), **last, dtype=self.dtype, name="out")(x)
        return x.astype(jnp.float32)


def class_bias() -> float:
    """Return the initial bias with which each class has the probability PRIOR."""
    return -math.log((1 - PRIOR) / PRIOR)


class Scale(nn.Module):
    """Multiplies by one learned number, with ReLU."""

    @nn.compact
    def __call__(self, x):
        return nn.relu(x * self.param("gamma", nn.initializers.ones, ()))


def check(net, shape):
    """Raise a UserError if a pyramid does not fit the features (b, t, c), or its own options."""
    stride = 2 ** (net.levels - 1)
    if shape[1] % stride:
        raise UserError(
            f"{shape[1]} steps cannot be halved {net.levels - 1} times: config.data.recipe.frames"
            f" and test_frames are multiples of {stride}"
        )
    if net.channels not in (0, shape[2]):
        raise UserError(
            f"features have {shape[2]} channels, but the model takes {net.channels}"
            " (config.model.channels)"
        )
    if len(net.window) != net.levels:
        raise UserError(
            f"config.model.window has {len(net.window)} numbers for {net.levels} levels"
        )


def inputs_of(net) -> dict[str, jax.ShapeDtypeStruct]:
    """Return shapes and dtypes of a batch of two small inputs of a pyramid, by name."""
    shape = 2, 2 ** (net.levels + 1), net.channels or 20
    return {
        "feature": jax.ShapeDtypeStruct(shape, "float32"),
        "rows": jax.ShapeDtypeStruct((2,), "int32"),
    }


def local_attention(q, k, v, mask, reach: int, size: int = 32):
    """Attend to the steps that are at most `reach` away: q, k, v (b, t, g, d) -> the same.

    Blocks of queries see their own block of keys and the two beside it.

    Args:
      mask: (b, t), 0 for keys that are hidden.
      reach: Steps before and after a query that it sees; 0 means all steps.
      size: Smallest number of steps of a block.
    """
    if not reach:
        return attention(q, k, v, mask=mask[:, None, None] > 0)
    size, t = max(size, reach), q.shape[1]
    blocks = -(-t // size)

    def split(x):  # (b, t, ...) -> (b, blocks, w, ...)
        x = jnp.pad(x, [(0, 0), (0, blocks * size - t)] + [(0, 0)] * (x.ndim - 2))
        return x.reshape(x.shape[0], blocks, size, *x.shape[2:])

    def spread(x):  # (b, t, ...) -> (b, blocks, 3 w, ...)
        x = split(x)
        x = jnp.pad(x, [(0, 0), (1, 1)] + [(0, 0)] * (x.ndim - 2))
        return jnp.concatenate([x[:, :-2], x[:, 1:-1], x[:, 2:]], 2)

    near = np.abs(np.arange(3 * size) - size - np.arange(size)[:, None]) <= reach  # (w, 3 w)
    shown = near & (spread(mask) > 0)[:, :, None, None]
    y = attention(split(q), spread(k), spread(v), mask=shown)
    return y.reshape(y.shape[0], -1, *y.shape[3:])[:, :t]


class ConvAttention(nn.Module):
    """Local attention of convolved queries, keys and values: (b, t, c) -> (b, t / stride, c).

    Attributes:
      reach: Steps before and after a query that it sees; 0 means all steps.
    """

    heads: int
    reach: int
    stride: int = 1
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, mask, train):
        """Attend. `mask` (b, t / stride) is that of the result."""
        c = x.shape[-1]
        linear = partial(nn.Dense, c, kernel_init=torch_uniform, dtype=self.dtype)

        def tokens(name):
            y = Depthwise(3, self.stride, dtype=self.dtype, name=f"{name}_conv")(x)
            y = norm(f"{name}_norm", self.dtype)(hide(y, mask))
            y = linear(name=name)(y)
            return y.reshape(*y.shape[:2], self.heads, c // self.heads)

        q, k, v = map(tokens, ("query", "key", "value"))
        y = local_attention(q, k, v, mask, self.reach)
        y = linear(name="proj")(y.reshape(*y.shape[:2], c))
        return hide(nn.Dropout(self.dropout, deterministic=not train)(y), mask)


class ConvBlock(nn.Module):
    """A transformer block with `ConvAttention`: (b, t, c) -> (b, t / stride, c)."""

    heads: int
    reach: int
    stride: int = 1
    drop_path: float = 0.0
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, mask, train):
        """Apply both branches. `mask` (b, t / stride) is that of the result."""
        path = nn.Dropout(self.drop_path, broadcast_dims=(1, 2), deterministic=not train)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        linear = partial(nn.Dense, kernel_init=torch_uniform, dtype=self.dtype)
        attend = ConvAttention(
            self.heads, self.reach, self.stride, self.dropout, self.dtype, name="attn"
        )
        y = attend(norm("norm1", self.dtype)(x), mask, train)
        x = hide(x if self.stride == 1 else pool(x), mask)
        x = x + path(LayerScale(1e-4, self.dtype, name="ls1")(y))
        y = linear(4 * x.shape[-1], name="fc1")(norm("norm2", self.dtype)(x))
        y = linear(x.shape[-1], name="fc2")(drop(exact_gelu(y)))
        return x + path(LayerScale(1e-4, self.dtype, name="ls2")(hide(drop(y), mask)))
