"""CLIP's towers (Radford et al., 2021): frames and texts in one space, by transformers.

Also the adapter with which ActionCLIP and X-CLIP join the features of frames.

https://arxiv.org/abs/2103.00020

Shapes: b batch, t frames, n tokens, c channels, f features of the space that both share.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid.config.values import Count
from jaxvid.errors import UserError
from jaxvid.layers.position import check_clip
from jaxvid.layers.transformer import Block, PatchEmbed, Remat, exact_gelu, norm, remat

normal = nn.initializers.normal(0.02)


def quick_gelu(x):
    """OpenAI's approximation of the GELU."""
    return x * nn.sigmoid(1.702 * x)


class Transformer(nn.Module):
    """Base class of the towers and of the adapter: `depth` blocks, one after another.

    Attributes:
      depth: Number of blocks.
      heads: Attention heads.
      quick: Use OpenAI's approximation of the GELU. Many models of open_clip use the exact function
        instead.
      remat: Activations that the backward pass computes again, which saves memory and makes
        training slower: False for none, True for those of whole blocks, "dots" for all but the
        results of linear layers.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    depth: Count = 12
    heads: Count = 12
    quick: bool = True
    remat: Remat = False
    dtype: Any = jnp.float32

    def blocks(self, x, causal=False, kind=Block):
        """Apply all blocks, of the class `kind`: (..., n, c) -> the same."""
        return [x, *self.each_block(x, causal, kind)][-1]

    def each_block(self, x, causal=False, kind=Block, train=False, **fields):
        """Return the tokens (..., n, c) after each block, as a list; `fields` are of the blocks."""
        block = partial(
            remat(kind, self.remat),
            self.heads,
            causal=causal,
            activation=quick_gelu if self.quick else exact_gelu,
            kernel_init=normal,
            dtype=self.dtype,
        )
        found = [x]
        for i in range(self.depth):
            found.append(block(**fields, name=f"block{i}")(found[-1], train))
        return found[1:]


class FrameTransformer(Transformer):
    """Base class of networks that make tokens of each frame by itself.

    Attributes:
      size: Height and width of the frames, in pixels.
      patch: Height and width of the patch that a token spans, in pixels.
      width: Channels of the tokens.
    """

    size: Count = 224
    patch: Count = 16
    width: Count = 768

    def tokens(self, video, kind=Block):
        """Return the tokens (b, t, 1 + n, c) of the last block, first the class token."""
        return self.blocks(self.embed(video), kind=kind)

    def embed(self, video):
        """Return the tokens (b, t, 1 + n, c) before the blocks."""
        check_clip(video, self.size)
        scaled = nn.initializers.normal(self.width**-0.5)
        tokens = (self.size // self.patch) ** 2
        first = self.param("class_embedding", scaled, (self.width,))
        positions = self.param("positional_embedding", scaled, (1 + tokens, self.width))
        x = rearrange(self.patches(video), "b t h w c -> b t (h w) c")
        first = jnp.broadcast_to(first.astype(self.dtype), (*x.shape[:2], 1, self.width))
        x = jnp.concatenate([first, x], -2) + positions.astype(self.dtype)
        return norm("norm_pre", self.dtype)(x)

    def patches(self, video):
        """Return the tokens (b, t, h, w, c) of the patches of the frames."""
        size = (self.patch,) * 2
        return PatchEmbed(self.width, size, False, normal, self.dtype, name="patch_embed")(video)


class VisionTower(FrameTransformer):
    """Each frame by itself: video (b, t, h, w, 3) -> (b, t, 1, 1, f), a map of one place.

    Attributes:
      features: Number of channels f of the output features.
    """

    features: Count = 512

    @nn.compact
    def __call__(self, video, *, train):
        return self.project(self.tokens(video))

    def project(self, tokens):
        """Return the features (b, t, 1, 1, f) of the frames, from their class tokens."""
        scaled = nn.initializers.normal(self.width**-0.5)
        proj = self.param("proj", scaled, (self.width, self.features))
        x = norm("norm", self.dtype)(tokens[..., :1, None, :])
        return x @ proj.astype(self.dtype)


class TextTower(Transformer):
    """Token ids (..., n), as `data/text/tokenizer.py` makes them -> (..., f).

    The last token of a text, which has the largest id, stands for the whole text.

    Attributes:
      vocabulary: Number of token ids.
      length: Largest number of tokens n.
      width: Channels of the tokens.
      features: Number of channels f of the output features.
    """

    vocabulary: int = 49408
    length: int = 77
    width: int = 512
    features: int = 512

    @nn.compact
    def __call__(self, text):
        n = text.shape[-1]
        if n > self.length:
            raise UserError(f"texts have at most {self.length} tokens, not {n}")
        embed = nn.Embed(
            self.vocabulary,
            self.width,
            dtype=self.dtype,
            embedding_init=normal,
            name="token_embedding",
        )
        small, scaled = nn.initializers.normal(0.01), nn.initializers.normal(self.width**-0.5)
        positions = self.param("positional_embedding", small, (self.length, self.width))
        proj = self.param("text_projection", scaled, (self.width, self.features))
        x = self.blocks(embed(text) + positions[:n].astype(self.dtype), causal=True)
        x = norm("norm", self.dtype)(x)
        end = text.argmax(-1)[..., None, None]
        return jnp.take_along_axis(x, end, -2)[..., 0, :] @ proj.astype(self.dtype)


class Adapter(Transformer):
    """Joins features of frames (b, t, f) to those of their video (b, f).

    It is the mean of the frames after a transformer over time, with a shortcut around it.

    Attributes:
      frames: Largest number of frames t.
    """

    frames: int = 8

    @nn.compact
    def __call__(self, x):
        t, f = x.shape[1:]
        if t > self.frames:
            raise UserError(
                f"the adapter is for {self.frames} frames, not {t}: set model.frames to"
                " data.recipe.frames"
            )
        positions = nn.Embed(
            self.frames,
            f,
            dtype=self.dtype,
            embedding_init=normal,
            name="frame_position_embeddings",
        )
        return (x + self.blocks(x + positions(np.arange(t)))).mean(1)


class Scale(nn.Module):
    """The learned number that multiplies cosines: float32 ()."""

    @nn.compact
    def __call__(self):
        start = nn.initializers.constant(np.log(1 / 0.07))
        return jnp.exp(self.param("logit_scale", start, ()))
