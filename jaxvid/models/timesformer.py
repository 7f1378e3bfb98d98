"""TimeSformer (Bertasius et al., 2021), https://arxiv.org/abs/2102.05095.

A ViT on the patches of all frames. Its attention is divided, over time and then over space; or
joint, over all patches of the clip; or over space only, for each frame by itself.

Shapes: b batch, t frames, h w grid of patches, n = h w patches of a frame, c channels.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid.config.values import Count, Rate
from jaxvid.layers import heads, transformer
from jaxvid.layers.position import PositionTable, check_clip
from jaxvid.layers.transformer import (
    Attention,
    Mlp,
    PatchEmbed,
    Remat,
    norm,
    normal,
    remat,
)
from jaxvid.weights.names import timesformer

VARIANTS: dict[str, dict] = {
    "test": dict(width=16, depth=2, heads=2, patch=8, frames=4, size=32),
    "divst": dict(attention="divided"),
    "jointst": dict(attention="joint"),
    "spaceonly": dict(attention="space"),
    "hr": dict(attention="divided", frames=16, size=448),
}
EPSILON = 1e-6


class TimeSformer(nn.Module):
    """video (b, t, H, W, 3) -> the class token (b, 1, 1, 1, c), a map of one place.

    Attributes:
      attention: Which patches attend to each other. "divided": those at one place in all frames,
        then those of one frame; "joint": all; "space": those of one frame.
      width: Channels of the tokens.
      depth: Number of blocks.
      heads: Attention heads.
      patch: Height and width of the patch that a token spans, in pixels.
      frames: Number of frames of a clip.
      size: Height and width of the frames, in pixels.
      drop_path: Probability of skipping a residual branch in the last block in training; it grows
        linearly from 0 in the first.
      remat: Activations that are computed again in the backward pass, which saves memory: True is
        those of whole blocks, "dots" all but the results of linear layers.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    attention: Literal["divided", "joint", "space"] = "divided"
    width: Count = 768
    depth: Count = 12
    heads: Count = 12
    patch: Count = 16
    frames: Count = 8
    size: Count = 224
    drop_path: Rate = 0.1
    remat: Remat = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video, *, train):
        check_clip(video, self.size, None if self.attention == "space" else self.frames)
        x = self.embed(video)
        if self.attention == "joint":
            x = join_frames(x)
        elif self.attention == "space":
            x = rearrange(x, "b t n c -> (b t) n c")
        kind = DividedBlock if self.attention == "divided" else transformer.Block
        kind = remat(kind, self.remat)
        options: dict[str, Any] = dict(heads=self.heads, epsilon=EPSILON, dtype=self.dtype)
        for i, rate in enumerate(np.linspace(0, self.drop_path, self.depth)):
            x = kind(**options, drop_path=float(rate), name=f"block{i}")(x, train)
        if self.attention == "divided":
            x = join_frames(x)
        elif self.attention == "space":
            x = rearrange(x, "(b t) n c -> b t n c", b=len(video)).mean(1)
        return norm("norm", self.dtype, EPSILON)(x)[:, None, None, :1]

    def embed(self, video):
        """Return patches with positions, after a class token in each frame: (b, t, 1 + n, c)."""
        side = self.size // self.patch
        x = PatchEmbed(self.width, (self.patch,) * 2, dtype=self.dtype, name="patch_embed")(video)
        x = rearrange(x, "b t h w c -> b t (h w) c")
        table: dict[str, Any] = dict(width=self.width, dtype=self.dtype)
        space = PositionTable((1, side, side), first=1, **table, name="pos_embed")()
        x = x + space[1:]
        if self.attention != "space":
            table |= dict(table_init=nn.initializers.zeros)
            time = PositionTable((self.frames, 1, 1), **table, name="time_embed")()
            x = x + time[:, None]
        first = self.param("class_token", normal, (1, self.width)).astype(self.dtype) + space[:1]
        return jnp.concatenate([jnp.broadcast_to(first, (*x.shape[:2], 1, self.width)), x], 2)


class DividedBlock(transformer.Block):
    """Attention over time, attention over the patches of a frame, and an MLP.

    Each frame has a copy of the class token. It takes no part in the attention over time; the
    attention over space changes all copies alike, by the mean of what it computes for each.
    """

    @nn.compact
    def __call__(self, x, train):  # (b, t, 1 + n, c)
        layers: dict[str, Any] = dict(kernel_init=self.kernel_init, dtype=self.dtype)

        def skip(y, axes):  # branches of single rows: patches over time, frames over space
            return nn.Dropout(self.drop_path, broadcast_dims=axes, deterministic=not train)(y)

        y = norm("time_norm", self.dtype, self.epsilon)(x).swapaxes(1, 2)
        y = Attention(self.heads, self.qkv_bias, **layers, name="time_attn")(y, train)
        zeros = nn.initializers.zeros
        out = nn.Dense(x.shape[-1], dtype=self.dtype, kernel_init=zeros, name="time_fc")
        y = out(skip(y, (2, 3))).swapaxes(1, 2)
        is_patch = np.arange(x.shape[2])[:, None] > 0
        x = x + jnp.where(is_patch, y, 0)

        y = norm("norm1", self.dtype, self.epsilon)(x)
        y = skip(self.make_attention(Attention)(y, train), (2, 3))
        first = jnp.broadcast_to(y[:, :, :1].mean(1, keepdims=True), (*y.shape[:2], 1, y.shape[-1]))
        x = x + jnp.concatenate([first, y[:, :, 1:]], 2)

        y = norm("norm2", self.dtype, self.epsilon)(x)
        return x + skip(
            Mlp(self.mlp_ratio, self.activation, **layers, name="mlp")(y, train), (1, 2, 3)
        )


def join_frames(x):
    """Return one class token, which is the same in all frames, and all patches: (b, 1 + t n, c)."""
    return jnp.concatenate([x[:, 0, :1], rearrange(x[:, :, 1:], "b t n c -> b (t n) c")], 1)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    options = {**VARIANTS["divst"], **VARIANTS[variant]}
    frames, size = options.get("frames", 8), options.get("size", 224)
    return {"video": jax.ShapeDtypeStruct((2, frames, size, size, 3), jnp.float32)}


def backbone(variant, **overrides):
    return TimeSformer(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.0, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `TimeSformer`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype, init_std=0.02)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights

WEIGHTS = timesformer.WEIGHTS
