"""SigLIP (Zhai et al., 2023), https://arxiv.org/abs/2303.15343.

A tower of images and one of texts. Each pair of an image and a text is right or wrong by itself, by
a sigmoid of its similarity. The features of a video are the mean of those of its frames.

Shapes: b batch, t frames, n tokens, c channels, f features of the space that videos and texts
share.
"""

from dataclasses import asdict
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid.config.values import Count, Natural
from jaxvid.errors import UserError
from jaxvid.layers.position import PositionTable, check_clip
from jaxvid.layers.transformer import (
    Attention,
    Block,
    CrossAttention,
    Mlp,
    PatchEmbed,
    Remat,
    norm,
    remat,
    tanh_gelu,
)
from jaxvid.models.clip import BY_VARIANT, Matched, Text
from jaxvid.weights.names import siglip

LARGE = dict(width=1024, depth=24, heads=16, mlp_width=4096)
SO400M = dict(width=1152, depth=27, heads=16, mlp_width=4304)
VARIANTS: dict[str, dict] = {
    "test": dict(size=32, patch=16, width=16, depth=2, heads=2, mlp_width=40),
    "b16": dict(size=224, patch=16),
    "b16-256": dict(size=256, patch=16),
    "b16-384": dict(size=384, patch=16),
    "b16-512": dict(size=512, patch=16),
    "l16-256": dict(size=256, patch=16, **LARGE),
    "l16-384": dict(size=384, patch=16, **LARGE),
    "so400m-224": dict(size=224, patch=14, **SO400M),
    "so400m-384": dict(size=384, patch=14, **SO400M),
}
# Options of the text towers that differ from those of the vision towers.
TEXT: dict[str, dict] = {"test": dict(vocabulary=64, length=8)}
TEXT |= {f"so400m-{size}": dict(length=length) for size, length in (("224", 16), ("384", 64))}
EPSILON = 1e-6
xavier = nn.initializers.xavier_uniform()


class MaskedBlock(Block):
    """A block whose call takes the mask of its attention, or None."""

    def attend(self, x, train, mask):
        return self.make_attention(Attention)(x, train, mask=mask)


class Tower(nn.Module):
    """Base class of the towers.

    Attributes:
      width: Channels of the tokens.
      depth: Number of blocks.
      heads: Attention heads.
      mlp_width: Channels between the layers of an MLP.
      remat: Activations that the backward pass computes again, which saves memory and makes
        training slower: False for none, True for those of whole blocks, "dots" for all but the
        results of linear layers.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    width: Count = 768
    depth: Count = 12
    heads: Count = 12
    mlp_width: Count = 3072
    remat: Remat = False
    dtype: Any = jnp.float32

    def blocks(self, x, mask=None):
        """Apply all blocks and a normalization: (..., n, c) -> the same."""
        block = remat(MaskedBlock, self.remat)
        options: dict[str, Any] = dict(activation=tanh_gelu, epsilon=EPSILON, kernel_init=xavier)
        options |= dict(mlp_ratio=self.mlp_width / self.width, dtype=self.dtype)
        for i in range(self.depth):
            x = block(self.heads, **options, name=f"block{i}")(x, False, mask)
        return norm("norm", self.dtype, EPSILON)(x)


class ImageTower(Tower):
    """A tower whose features are those of a learned query.

    Attributes:
      patch: Height and width of the patch that a token spans, in pixels.
    """

    patch: Count = 16

    def read_out(self, x, mask=None):
        """Return the features of frames, maps of one place: (b, t, n, c) -> (b, t, 1, 1, c)."""
        ratio = self.mlp_width / self.width
        return Probe(self.heads, ratio, self.dtype, name="pool")(x, mask)[:, :, None]


class VisionTower(ImageTower):
    """Each frame by itself: video (b, t, h, w, 3) -> (b, t, 1, 1, f), a map of one place.

    Attributes:
      size: Height and width of the frames, in pixels.
    """

    size: Count = 224

    @nn.compact
    def __call__(self, video, *, train):
        check_clip(video, self.size)
        side = self.size // self.patch
        video = video[:, :, : side * self.patch, : side * self.patch]  # whole patches, as published
        x = PatchEmbed(self.width, (self.patch,) * 2, dtype=self.dtype, name="patch_embed")(video)
        x = rearrange(x, "b t h w c -> b t (h w) c")
        init = nn.initializers.normal(self.width**-0.5)
        options: dict[str, Any] = dict(table_init=init, dtype=self.dtype, name="pos_embed")
        x = x + PositionTable((1, side, side), self.width, **options)()
        return self.read_out(self.blocks(x))


class Probe(nn.Module):
    """A learned query, which attends to all tokens: (..., n, c) -> (..., 1, c).

    Attributes:
      heads: Attention heads.
      mlp_ratio: Channels between the layers of the MLP, as a multiple of those of the tokens.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    heads: int
    mlp_ratio: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, mask=None):
        probe = self.param("probe", xavier, (1, x.shape[-1])).astype(self.dtype)
        probe = jnp.broadcast_to(probe, (*x.shape[:-2], *probe.shape))
        init: dict[str, Any] = dict(kernel_init=xavier, dtype=self.dtype)
        y = CrossAttention(self.heads, **init, name="attn")(probe, x, mask=mask)
        mlp = Mlp(self.mlp_ratio, tanh_gelu, **init, name="mlp")
        return y + mlp(norm("norm", self.dtype, EPSILON)(y))


class TextTower(Tower):
    """Token ids (..., n), padded with zeros -> (..., f), by the token at the last place of all.

    All tokens see each other, also the padding.

    Attributes:
      vocabulary: Number of token ids.
      length: Number of tokens to which texts are padded.
      pad: The token of the padding.
      features: Number of channels f of the output features.
    """

    vocabulary: Count = 32000
    length: Count = 64
    pad: Natural = 1
    features: Count = 768

    @nn.compact
    def __call__(self, text):
        n = text.shape[-1]
        if n > self.length:
            raise UserError(f"texts have at most {self.length} tokens, not {n}")
        text = jnp.pad(text, [(0, 0)] * (text.ndim - 1) + [(0, self.length - n)])
        text = jnp.where(text == 0, self.pad, text)
        init = nn.initializers.normal(self.width**-0.5)
        options: dict[str, Any] = dict(dtype=self.dtype, embedding_init=init)
        x = nn.Embed(self.vocabulary, self.width, **options, name="token_embedding")(text)
        options = dict(table_init=init, dtype=self.dtype, name="pos_embed")
        x = self.blocks(x + PositionTable((self.length, 1, 1), self.width, **options)())
        return nn.Dense(self.features, dtype=self.dtype, name="head")(x[..., -1, :])


class Similarity(nn.Module):
    """The learned factor of cosines and what is added to them: two float32 ()."""

    @nn.compact
    def __call__(self):
        scale = self.param("logit_scale", nn.initializers.constant(np.log(10)), (1,))
        bias = self.param("logit_bias", nn.initializers.constant(-10.0), (1,))
        return jnp.exp(scale[0]), bias[0]


class SigLIP(nn.Module):
    """video (b, t, h, w, 3) and token ids text (..., n) -> Matched; either may be left out.

    Attributes:
      backbone: Frame by frame.
      text: Of the same features.
    """

    backbone: ImageTower
    text: TextTower

    @nn.compact
    def __call__(self, video=None, text=None, *, train, **named):
        if video is not None:
            video = self.backbone(video, **named, train=train)[:, :, 0, 0]
            video = video.mean(1).astype(jnp.float32)
        if text is not None:
            text = self.text(text).astype(jnp.float32)
        return Matched(video, text, *Similarity(name="similarity")())


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, a text for each video."""
    size, length = VARIANTS[variant]["size"], TEXT.get(variant, {}).get("length", 64)
    return {
        "video": jax.ShapeDtypeStruct((2, 4, size, size, 3), jnp.float32),
        "text": jax.ShapeDtypeStruct((2, length), jnp.int32),
    }


def backbone(variant, **overrides):
    return VisionTower(**{**VARIANTS[variant], **overrides})


def text_tower(vision: ImageTower, given: dict, text: Text, **more: Any) -> TextTower:
    """Return a text tower with the sizes of a vision tower, where others are not given."""
    names = ("width", "depth", "heads", "mlp_width", "remat", "dtype")
    shared = {name: getattr(vision, name) for name in names} | {"features": vision.width}
    chosen = {key: value for key, value in asdict(text).items() if value}
    return TextTower(**{**shared, **given, **more, **chosen})


def build(
    variant, *, text: Text = BY_VARIANT, pad: Natural = 1, dtype: Any = jnp.float32, **overrides
):
    """Return both towers; other arguments are those of `VisionTower`.

    Args:
      text: Options of the text tower.
      pad: The token of the padding of texts: 1 in SigLIP, 0 in SigLIP 2.
    """
    vision = backbone(variant, dtype=dtype, **overrides)
    return SigLIP(vision, text_tower(vision, TEXT.get(variant, {}), text, pad=pad))


# Weights

WEIGHTS = {"transformers": siglip.TRANSFORMERS}
