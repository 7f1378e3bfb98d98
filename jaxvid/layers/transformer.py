"""Parts of vision and text transformers, in one vocabulary for all families.

Below a block stand "norm1", "attn/qkv", "attn/proj", "norm2", "mlp/fc1" and "mlp/fc2", as in timm
(github.com/huggingface/pytorch-image-models). Rules for layouts, learning rates and weight decay
rely on these names; what upstreams call them is in the families' rename tables.

Shapes: b batch, T H W pixels, t h w tokens, n tokens in a row, c channels, g heads, d channels of a
head; "..." are any axes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxvid.ops.attention import attention

Init = nn.initializers.Initializer
Ints = tuple[int, ...]
normal = nn.initializers.truncated_normal(0.02)
lecun_normal = nn.initializers.lecun_normal()
exact_gelu = partial(nn.gelu, approximate=False)


class Qkv(nn.Module):
    """Queries, keys and values in one linear layer: (..., n, c) -> three of (..., n, g, d).

    The kernel is a matrix, as published, but is cut into heads before it meets the tokens: where
    devices share the heads of a layer, a matrix is gathered, and no tokens are.
    """

    heads: int
    kernel_init: Init = normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        c = x.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (c, 3 * c)).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (3 * c,)).astype(self.dtype)
        kernel = rearrange(kernel, "c (s g d) -> c s g d", s=3, g=self.heads)
        y = jnp.einsum("...nc,csgd->...nsgd", x.astype(self.dtype), kernel)
        q, k, v = rearrange(y + bias.reshape(y.shape[-3:]), "... n s g d -> s ... n g d")
        return q, k, v


class Attention(nn.Module):
    """Multi-head self-attention: (..., n, c) -> the same."""

    heads: int
    kernel_init: Init = normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, **options: Any) -> jax.Array:
        """Take the keyword arguments of `ops.attention.attention`, such as a bias or a mask."""
        q, k, v = Qkv(self.heads, self.kernel_init, self.dtype, name="qkv")(x)
        y = rearrange(attention(q, k, v, **options), "... n g d -> ... n (g d)")
        return nn.Dense(x.shape[-1], dtype=self.dtype, kernel_init=self.kernel_init, name="proj")(y)


class Mlp(nn.Module):
    """Two linear layers, the first four times as wide: (..., c) -> the same."""

    activation: Callable = exact_gelu
    kernel_init: Init = normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dense = partial(nn.Dense, dtype=self.dtype, kernel_init=self.kernel_init)
        y = self.activation(dense(4 * x.shape[-1], name="fc1")(x))
        return dense(x.shape[-1], name="fc2")(y)


class Block(nn.Module):
    """Attention and an MLP, each on a normalised residual branch: (b, ..., c) -> the same.

    A family overrides `attend` where tokens do not simply attend to all others.

    Attributes:
      heads: Attention heads.
      drop_path: Probability of leaving out a residual branch of a sample in training.
      causal: Hide from each token those that follow it.
      activation: Between the layers of the MLP.
      kernel_init: Initializer of the kernels.
      dtype: Compute dtype; parameters, softmax and normalisation statistics stay float32.
    """

    heads: int
    drop_path: float = 0.0
    causal: bool = False
    activation: Callable = exact_gelu
    kernel_init: Init = normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        axes = tuple(range(1, x.ndim))
        drop = nn.Dropout(self.drop_path, broadcast_dims=axes, deterministic=not train)
        mlp = Mlp(self.activation, self.kernel_init, self.dtype, name="mlp")
        x = x + drop(self.attend(norm("norm1", self.dtype)(x)))
        return x + drop(mlp(norm("norm2", self.dtype)(x)))

    def attend(self, x: jax.Array) -> jax.Array:
        """Exchange features between tokens; parameters are below "attn"."""
        return Attention(self.heads, self.kernel_init, self.dtype, name="attn")(
            x, causal=self.causal
        )


class PatchEmbed(nn.Module):
    """Non-overlapping patches, each mapped to one token: (b, T, H, W, c) -> (b, t, h, w, width).

    The video is padded with zeros at its end until patches fit. It is a strided convolution,
    computed as one matrix product: much faster under XLA.

    Attributes:
      width: Channels of the tokens.
      patch: Pixels that a token spans, in (T, H, W) or, frame by frame, in (H, W).
    """

    width: int
    patch: Ints
    use_bias: bool = True
    kernel_init: Init = lecun_normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (*self.patch, video.shape[-1], self.width))
        a, i, j = (1, *self.patch)[-3:]
        x = pad_to_multiple(video.astype(self.dtype), (a, i, j))
        x = rearrange(x, "b (t a) (h i) (w j) c -> b t h w (a i j c)", a=a, i=i, j=j)
        x = x @ kernel.reshape(-1, self.width).astype(self.dtype)
        if self.use_bias:
            x = x + self.param("bias", nn.initializers.zeros, (self.width,)).astype(self.dtype)
        return x


def norm(name: str, dtype: Any, epsilon: float = 1e-5) -> nn.Module:
    """Make a layer normalisation."""
    return nn.LayerNorm(epsilon=epsilon, dtype=dtype, name=name)


def pad_to_multiple(x: jax.Array, size: Ints) -> jax.Array:
    """Add zeros at the end of t, h and w of (b, t, h, w, c) until each is a multiple of `size`."""
    pads = [(0, -g % s) for g, s in zip(x.shape[1:4], size, strict=True)]
    return jnp.pad(x, [(0, 0), *pads, (0, 0)]) if any(p for _, p in pads) else x
