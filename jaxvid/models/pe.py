"""Perception Encoder (Bolya et al., 2025), https://arxiv.org/abs/2504.13181.

The image tower of a model of images and texts, PE-Core: a vision transformer with learned and with
rotary positions, whose tokens are pooled by attention. The features of a video are the mean of
those of its frames, each of which the tower sees by itself.

Shapes: b batch, t frames, h w patches of a frame, n tokens, c channels, d channels of a head.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid.config.values import Count, Natural, Positive, Rate
from jaxvid.layers import heads, transformer
from jaxvid.layers.position import PositionTable, check_clip
from jaxvid.layers.transformer import (
    Attention,
    CrossAttention,
    Mlp,
    PatchEmbed,
    Remat,
    norm,
    normal,
    remat,
)
from jaxvid.ops.attention import attention
from jaxvid.ops.position import rotate
from jaxvid.weights.names import pe as names

VARIANTS: dict[str, dict] = {
    "test": dict(size=32, width=16, depth=2, heads=2, pool_heads=2),
    "t16": dict(size=384, width=192, heads=3),
    "s16": dict(size=384, width=384, heads=6),
    "b16": dict(size=224),
    "l14": dict(size=336, patch=14, width=1024, depth=24, heads=16),
    "g14": dict(
        size=448, patch=14, width=1536, depth=50, heads=16, mlp_ratio=8960 / 1536, class_token=False
    ),
}


class PE(nn.Module):
    """Each frame by itself: video (b, t, h, w, 3) -> (b, t, 1, 1, c), a map of one place.

    Attributes:
      size: Height and width of the frames, in pixels.
      patch: Height and width of the patch that a token spans, in pixels.
      width: Channels c of the tokens.
      depth: Number of blocks.
      heads: Attention heads of the blocks.
      mlp_ratio: Channels between the layers of an MLP, as a multiple of those of the tokens.
      class_token: The tokens begin with a learned one, which has no place in the frame.
      pool_heads: Attention heads of the pooling.
      span: Patches in a row of the frames of pre-training. Frames of another size are stretched to
        them for the rotations. 0 means that the frames have that size.
      remat: Activations that the backward pass computes again, which saves memory and makes
        training slower: False for none, True for those of whole blocks, "dots" for all but the
        results of linear layers.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    size: Count = 224
    patch: Count = 16
    width: Count = 768
    depth: Count = 12
    heads: Count = 12
    mlp_ratio: Positive = 4.0
    class_token: bool = True
    pool_heads: Count = 8
    span: Natural = 0
    remat: Remat = False
    dtype: Any = jnp.float32

    @property
    def grid(self) -> tuple[int, int, int]:
        """The patches (1, h, w) of a frame."""
        return 1, self.size // self.patch, self.size // self.patch

    @nn.compact
    def __call__(self, video, *, train):
        return self.pooled(video, train)

    def pooled(self, video, train):
        """Return the features of the frames before any projection."""
        check_clip(video, self.size)
        first, side = int(self.class_token), self.grid[-1]
        embed = partial(PatchEmbed, self.width, (self.patch,) * 2, use_bias=False)
        x = embed(dtype=self.dtype, name="patch_embed")(video)
        x = rearrange(x, "b t h w c -> b t (h w) c")
        if first:
            token = self.param("cls_token", normal, (1, self.width)).astype(self.dtype)
            x = jnp.concatenate([jnp.broadcast_to(token, (*x.shape[:2], 1, self.width)), x], 2)
        x = x + PositionTable(self.grid, self.width, first, dtype=self.dtype, name="pos_embed")()
        x = norm("norm_pre", self.dtype)(x)
        block = partial(
            remat(Block, self.remat),
            self.heads,
            mlp_ratio=self.mlp_ratio,
            dtype=self.dtype,
            place=(side, self.span or side, first),
        )
        for i in range(self.depth):
            x = block(name=f"block{i}")(x, train)
        x = norm("norm", self.dtype)(x)
        return AttentionPool(self.pool_heads, self.dtype, name="attn_pool")(x)[:, :, None]


class Block(transformer.Block):
    """A block whose queries and keys are rotated by their positions in the frame.

    Attributes:
      place: Arguments of `angles`.
    """

    place: tuple[int, int, int] = (1, 1, 0)

    def attend(self, x, train):
        turns = angles(*self.place, x.shape[-1] // self.heads)

        def rotary(q, k, v, **options):
            return attention(rotate(q, turns), rotate(k, turns), v, **options)

        return self.make_attention(Attention)(x, train, rotary)


def angles(side, span, first, d):
    """Return the angles (first + side^2, d) of the channels of a head.

    The first half of the channels is rotated by the column of a patch, the second by its row. Both
    count from 1 after a class token, which is not rotated, and else from 0. A row of `side` patches
    is stretched to `span` patches.
    """
    frequencies = np.repeat(10000 ** (-np.arange(d // 4) / (d // 4)), 2)
    places = (np.arange(side) + first) * span / side
    rows, columns = np.meshgrid(places, places, indexing="ij")
    turns = [axis.reshape(-1, 1) * frequencies for axis in (columns, rows)]
    turns = np.pad(np.concatenate(turns, 1), [(first, 0), (0, 0)])
    return jnp.asarray(turns, jnp.float32)


class AttentionPool(nn.Module):
    """Attention of a learned query to the tokens, and an MLP: (b, t, n, c) -> (b, t, 1, c).

    Attributes:
      heads: Attention heads.
      dtype: compute dtype.
    """

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        latent = self.param("latent", normal, (1, x.shape[-1])).astype(self.dtype)
        latent = jnp.broadcast_to(latent, (*x.shape[:2], *latent.shape))
        x = CrossAttention(self.heads, dtype=self.dtype, name="attn")(latent, x)
        return x + Mlp(dtype=self.dtype, name="mlp")(norm("norm", self.dtype)(x))


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    size = VARIANTS[variant]["size"]
    return {"video": jax.ShapeDtypeStruct((2, 2, size, size, 3), jnp.float32)}


def backbone(variant, **overrides):
    return PE(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.0, dtype: Any = jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `PE`.

    Args:
      dropout: Dropout rate before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


WEIGHTS = {"timm": names.TIMM}
