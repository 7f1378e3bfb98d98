"""VideoPrism (Zhao et al., 2024), https://arxiv.org/abs/2402.13217.

A factorized encoder: a vision transformer sees each frame by itself, then another one sees each
place of the frames over time. A classifier pools all tokens by a learned query.

Shapes: b batch, T H W pixels, t h w tokens, n tokens of a sequence, c channels, g heads, d channels
of a head.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxvid.config.values import Count
from jaxvid.layers import heads, transformer
from jaxvid.layers.position import PositionTable, check_clip
from jaxvid.layers.transformer import PatchEmbed, Remat, lecun_normal, remat
from jaxvid.ops.attention import attention
from jaxvid.weights.names import videoprism as names

EPSILON = 1e-6
CAP = 50.0  # of the products of queries and keys
VARIANTS: dict[str, dict] = {
    "test": dict(width=16, depth=1, temporal_depth=1, heads=2, frames=4, size=32, patch=16),
    "base": dict(width=768, depth=12, heads=12, frames=16),
    "large": dict(width=1024, depth=24, heads=16, frames=8),
}


class VideoPrism(nn.Module):
    """The encoder: video (b, T, H, W, 3) -> features (b, t, h, w, c), with t = T.

    Attributes:
      width: Channels c of the tokens.
      depth: Number of blocks that see single frames.
      temporal_depth: Number of blocks that see single places over time.
      heads: Attention heads.
      frames: Number of frames T.
      size: Height and width of the frames in pixels, if they differ as a pair.
      patch: Height and width of the patch that a token spans, in pixels.
      remat: Activations that the backward pass computes again, which saves memory and makes
        training slower: False for none, True for those of whole blocks, "dots" for all but the
        results of linear layers.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    width: Count
    depth: Count
    heads: Count
    frames: Count
    size: Count | tuple[Count, Count] = 288
    patch: Count = 18
    temporal_depth: Count = 4
    remat: Remat = False
    dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Pixels of a frame from one feature to the next."""
        return self.patch

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens in time, height and width."""
        height, width = self.size if isinstance(self.size, tuple) else (self.size, self.size)
        return self.frames, height // self.patch, width // self.patch

    @nn.compact
    def __call__(self, video, *, train):
        check_clip(video, self.size, self.frames)
        t, h, w = self.grid
        table = partial(PositionTable, width=self.width, table_init=lecun_normal, dtype=self.dtype)
        patch = 1, self.patch, self.patch
        x = PatchEmbed(self.width, patch, dtype=self.dtype, name="patch_embed")(video)
        x = rearrange(x, "b t h w c -> b t (h w) c") + table((1, h, w), name="space")()
        x = self.blocks("block", self.depth, x, train)
        x = ShiftedNorm(self.dtype, name="space_norm")(x)
        x = rearrange(x, "b t n c -> b n t c") + table((t, 1, 1), name="time")()
        x = self.blocks("time_block", self.temporal_depth, x, train)
        x = ShiftedNorm(self.dtype, name="norm")(x)
        return rearrange(x, "b (h w) t c -> b t h w c", h=h)

    @nn.nowrap
    def blocks(self, name, depth, x, train):
        block = partial(remat(Block, self.remat), epsilon=EPSILON, kernel_init=lecun_normal)
        for i in range(depth):
            x = block(self.heads, dtype=self.dtype, name=f"{name}{i}")(x, train)
        return x


class ShiftedNorm(nn.Module):
    """Layer normalization whose scale is 1 + a parameter, so that weight decay draws it to 1."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        plain = nn.LayerNorm(EPSILON, dtype=jnp.float32, use_scale=False, use_bias=False)
        scale = self.param("scale", nn.initializers.zeros, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return (plain(x) * (1 + scale) + bias).astype(self.dtype)


class Block(transformer.Block):
    """A block with a soft bound on the products of queries and keys, and `ShiftedNorm`."""

    def normalize(self, name, x, train):
        return ShiftedNorm(self.dtype, name=name)(x)

    def attend(self, x, train, mask=None):
        layer = self.make_attention(transformer.Attention)
        return layer(x, train, causal=self.causal, mask=mask, cap=CAP)


class AttentionPool(nn.Module):
    """Attention of one learned query to all tokens: (b, n, c) -> (b, c).

    The heads are four times as wide as those of the encoder. The query is multiplied by a learned
    factor for each channel of a head.
    """

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        c = x.shape[-1]
        d = 4 * c // self.heads
        linear = partial(nn.Dense, dtype=self.dtype, kernel_init=lecun_normal)
        query = self.param("query", lecun_normal, (1, c)).astype(self.dtype)
        factors = nn.softplus(self.param("factors", nn.initializers.zeros, (d,)))
        # Before training, the factors are 1: softplus(0) = 1 / 1.442695041.
        factors = (factors * 1.442695041).astype(self.dtype)
        split = partial(rearrange, pattern="... n (g d) -> ... n g d", g=self.heads)
        q = split(linear(4 * c, name="q")(query)) * factors
        q = jnp.broadcast_to(q, (len(x), *q.shape))
        k, v = (split(linear(4 * c, name=name)(x)) for name in ("k", "v"))
        y = rearrange(attention(q, k, v), "b n g d -> b (n g d)")
        return ShiftedNorm(self.dtype, name="norm")(linear(c, name="proj")(y))


class Classifier(nn.Module):
    """Attention pooling, then a linear layer.

    Attributes:
      num_classes: Number of classes.
      heads: Attention heads of the pooling.
      dtype: compute dtype; the result is float32.
    """

    num_classes: int
    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, h, w, c) -> (b, classes)
        x = rearrange(x, "b ... c -> b (...) c")
        x = AttentionPool(self.heads, self.dtype, name="pool")(x)
        init = nn.initializers.normal(0.02)
        x = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=init, name="fc")(x)
        return x.astype(jnp.float32)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    options = VARIANTS[variant]
    size = options.get("size", VideoPrism.size)
    return {"video": jax.ShapeDtypeStruct((2, options["frames"], size, size, 3), jnp.float32)}


def backbone(variant, **overrides):
    return VideoPrism(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dtype: Any = jnp.float32, **overrides):
    """Return the recognizer; arguments are those of `VideoPrism`."""
    encoder = backbone(variant, dtype=dtype, **overrides)
    return heads.Recognizer(encoder, Classifier(num_classes, encoder.heads, dtype))


# Weights

WEIGHTS = {
    "transformers": names.transformers("vision_model."),
    "pretrained": names.transformers(),
    "flax": names.flax(),
}
