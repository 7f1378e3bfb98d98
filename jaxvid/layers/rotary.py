"""Blocks of language models: rotary positions, gated MLPs, and no biases.

Shapes: b batch, n tokens, c channels, g heads, d channels of a head.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid.layers.transformer import Qkv, exact_gelu, normal
from jaxvid.ops.attention import attention
from jaxvid.ops.position import rotate

EPSILON = 1e-5


class RotaryAttention(nn.Module):
    """Self-attention without biases, with rotated queries and keys: (b, n, c) -> the same.

    Attributes:
      heads: Number of heads.
      theta: Wave length of the slowest rotation, in steps of 2 pi.
      halves: Rotate pairs of a channel in the first and one in the second half of a head. If False,
        pairs are neighbors.
      norms: Normalize the queries and keys of each head.
      dtype: Compute dtype.
    """

    heads: int
    theta: float
    halves: bool
    norms: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, mask):
        q, k, v = Qkv(self.heads, use_bias="", dtype=self.dtype, name="qkv")(x)
        if self.norms:
            q, k = (
                nn.RMSNorm(epsilon=EPSILON, dtype=self.dtype, name=name)(y)
                for name, y in (("q_norm", q), ("k_norm", k))
            )
        q, k = (self.rotated(y) for y in (q, k))
        y = rearrange(attention(q, k, v, mask=mask), "b n g d -> b n (g d)")
        options: dict[str, Any] = dict(kernel_init=normal, dtype=self.dtype, name="proj")
        return nn.Dense(x.shape[-1], use_bias=False, **options)(y)

    def rotated(self, x):  # (b, n, g, d)
        n, _, d = x.shape[1:]
        turns = np.arange(n)[:, None] * self.theta ** (-np.arange(0, d, 2) / d)
        turns = jnp.asarray(np.repeat(turns, 2, 1), jnp.float32)
        if not self.halves:
            return rotate(x, turns)
        pairs = rearrange(x, "b n g (two d) -> b n g (d two)", two=2)
        return rearrange(rotate(pairs, turns), "b n g (d two) -> b n g (two d)", two=2)


class Block(nn.Module):
    """Rotary attention and a gated MLP, each on a normalized residual branch: tokens (b, n, c).

    Attributes:
      heads: Number of heads.
      mlp_width: Channels between the layers of the MLP.
      theta, halves: See `RotaryAttention`.
      rms: Normalize by the root mean square, also queries and keys. If False, the mean is
        subtracted as well, and queries and keys are not normalized.
      raw: Do not normalize the input of the attention.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    heads: int
    mlp_width: int
    theta: float
    halves: bool
    rms: bool
    raw: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train, mask):
        norm = partial(rms_norm if self.rms else mean_norm, self.dtype)
        linear = partial(nn.Dense, use_bias=False, kernel_init=normal, dtype=self.dtype)
        attend = RotaryAttention(
            self.heads, self.theta, self.halves, self.rms, self.dtype, name="attn"
        )
        x = x + attend(x if self.raw else norm("norm1")(x), mask)
        gate = nn.silu if self.rms else exact_gelu
        gated, linear_part = jnp.split(
            linear(2 * self.mlp_width, name="fc1")(norm("norm2")(x)), 2, -1
        )
        return x + linear(x.shape[-1], name="fc2")(gate(gated) * linear_part)


def rms_norm(dtype, name):
    return nn.RMSNorm(epsilon=EPSILON, dtype=dtype, name=name)


def mean_norm(dtype, name):
    return nn.LayerNorm(epsilon=EPSILON, use_bias=False, dtype=dtype, name=name)
