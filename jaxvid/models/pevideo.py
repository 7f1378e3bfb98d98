"""The video and text towers of PE-AV (Vyas et al., 2025): Perception Encoder for videos.

https://huggingface.co/facebook/pe-av-large

Each frame goes through the image tower of `models/pe.py`. A convolution and a transformer over time
join the frames and a class token. Texts go through a ModernBERT (Warner et al., 2024,
https://arxiv.org/abs/2412.13663). Its tokens are those of ModernBERT's vocabulary, which does not
come with jaxvid.

Shapes: b batch, t frames, n steps or tokens, c channels, f features of the space that videos and
texts share.
"""

from dataclasses import asdict
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Count, Natural, Positive
from jaxvid.errors import UserError
from jaxvid.layers.rotary import EPSILON, Block, mean_norm, rms_norm
from jaxvid.layers.transformer import Remat, normal, remat
from jaxvid.models import pe
from jaxvid.models.clip import BY_VARIANT, Matched, Text
from jaxvid.weights.names import pe as names

VARIANTS: dict[str, dict] = {
    "test": dict(
        size=32,
        patch=16,
        frame_width=16,
        frame_depth=1,
        frame_heads=2,
        span=0,
        pool_heads=2,
        embedding=8,
        width=16,
        depth=1,
        heads=2,
        mlp_width=24,
    ),
    "large": {},
}
# Options of the text towers.
TEXT: dict[str, dict] = {
    "test": dict(width=16, depth=2, heads=2, mlp_width=24, vocabulary=64, length=8),
    "large": {},
}


class ConvBlock(nn.Module):
    """Normalization over all steps, SiLU and a convolution over time: (b, n, c) -> the same."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, valid):  # valid (b, n), or None
        c = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (c,))
        bias = self.param("bias", nn.initializers.zeros, (c,))
        kept = jnp.ones(x.shape[:2]) if valid is None else valid
        kept = kept[..., None].astype(jnp.float32)
        y, count = x.astype(jnp.float32), c * kept.sum((1, 2), keepdims=True)
        y = y - (kept * y).sum((1, 2), keepdims=True) / count
        y = y * jax.lax.rsqrt((kept * y * y).sum((1, 2), keepdims=True) / count + EPSILON)
        y = nn.silu((y * scale + bias) * kept).astype(self.dtype)
        return nn.Conv(c, (3,), kernel_init=normal, dtype=self.dtype, name="conv")(y)


class VideoEncoder(nn.Module):
    """video (b, t, h, w, 3) -> states of frames (b, t, 1, 1, c) and of the video (b, 1, 1, 1, c).

    Attributes:
      size: Height and width of the frames, in pixels.
      patch: Height and width of the patch that a token spans, in pixels.
      frame_width: Channels of the tokens of a frame.
      frame_depth: Blocks of the image tower.
      frame_heads: Attention heads of the image tower.
      span: Patches in a row of the frames of pre-training, see `models.pe.PE`.
      pool_heads: Attention heads of the pooling of a frame.
      embedding: Features of a frame.
      width: Channels c of the steps.
      depth: Blocks over time.
      heads: Attention heads over time.
      mlp_width: Channels between the layers of an MLP over time.
      theta: Wave length of the slowest rotation over time, in steps of 2 pi.
      remat: Activations that the backward pass computes again, which saves memory and makes
        training slower: False for none, True for those of whole blocks, "dots" for all but the
        results of linear layers.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    size: Count = 336
    patch: Count = 14
    frame_width: Count = 1024
    frame_depth: Count = 24
    frame_heads: Count = 16
    span: Natural = 24
    pool_heads: Count = 8
    embedding: Count = 1024
    width: Count = 1792
    depth: Count = 6
    heads: Count = 14
    mlp_width: Count = 4800
    theta: Positive = 20000.0
    remat: Remat = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video, valid=None, *, train):
        """Compute the states.

        Args:
          video: (b, t, h, w, 3), normalized.
          valid: bool (b, t), False for frames that only pad a video; None if there are none.
          train: Has no effect: there is no dropout.
        """
        linear = partial(nn.Dense, kernel_init=normal, dtype=self.dtype)
        tower = pe.PE(
            size=self.size,
            patch=self.patch,
            width=self.frame_width,
            depth=self.frame_depth,
            heads=self.frame_heads,
            pool_heads=self.pool_heads,
            span=self.span,
            remat=self.remat,
            dtype=self.dtype,
            name="frames",
        )
        x = linear(self.embedding, name="head")(tower(video, train=train)[:, :, 0, 0])
        x = x * jax.lax.rsqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), 1e-24))
        x = linear(self.width, use_bias=False, name="embed")(x)
        x = linear(self.width, name="data_embed")(x)
        first = self.param("class_embedding", normal, (1, self.width)).astype(self.dtype)
        x = jnp.concatenate([jnp.broadcast_to(first, (len(x), 1, self.width)), x], 1)
        # The class token has the mask of the first frame.
        shown = None if valid is None else jnp.concatenate([valid[:, :1], valid], 1)
        y = ConvBlock(self.dtype, name="conv_block1")(x, shown)
        x = x + ConvBlock(self.dtype, name="conv_block2")(y, shown)
        mask = None if shown is None else shown[:, None, None]
        block = partial(remat(Block, self.remat), self.heads, self.mlp_width, self.theta)
        for i in range(self.depth):
            x = block(False, True, dtype=self.dtype, name=f"block{i}")(x, train, mask)
        x = linear(self.width, use_bias=False, name="output")(rms_norm(self.dtype, "norm")(x))
        x = x[:, :, None, None]
        return x[:, 1:], x[:, :1]


class TextEncoder(nn.Module):
    """ModernBERT: token ids (..., n), padded with zeros -> state of the first token (..., c).

    Attributes:
      vocabulary: Number of token ids.
      length: Largest number of tokens n.
      width: Channels c of the tokens.
      depth: Number of blocks. Every third one sees all tokens.
      heads: Attention heads.
      mlp_width: Channels between the layers of an MLP.
      reach: Distance in tokens that the other blocks see.
      remat: As in `VideoEncoder`.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    vocabulary: Count = 50368
    length: Count = 8192
    width: Count = 1024
    depth: Count = 22
    heads: Count = 16
    mlp_width: Count = 2624
    reach: Count = 64
    remat: Remat = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, text):
        if text.shape[-1] > self.length:
            raise UserError(f"texts have at most {self.length} tokens, not {text.shape[-1]}")
        leading, text = text.shape[:-1], text.reshape(-1, text.shape[-1])
        options: dict[str, Any] = dict(dtype=self.dtype, embedding_init=normal)
        embed = nn.Embed(self.vocabulary, self.width, **options, name="token_embedding")
        x = mean_norm(self.dtype, "token_norm")(embed(text))
        places = np.arange(text.shape[-1])
        near = np.abs(places[:, None] - places) <= self.reach
        known = (text > 0)[:, None, None]
        block = partial(remat(Block, self.remat), self.heads, self.mlp_width, dtype=self.dtype)
        for i in range(self.depth):
            theta, mask = (160000.0, known) if i % 3 == 0 else (10000.0, known & near)
            x = block(theta, True, False, raw=i == 0, name=f"block{i}")(x, False, mask)
        return mean_norm(self.dtype, "norm")(x)[:, 0].reshape(*leading, self.width)


class Similarity(nn.Module):
    """The learned factor of products and what is added to them: two float32 ()."""

    @nn.compact
    def __call__(self):
        numbers = (self.param(f"logit_{x}", nn.initializers.zeros, (1,)) for x in ("scale", "bias"))
        return tuple(x[0] for x in numbers)


class Head(nn.Module):
    """Normalization and a linear layer to the features of both towers."""

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        x = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm")(x)
        options: dict[str, Any] = dict(use_bias=False, kernel_init=normal, dtype=self.dtype)
        return nn.Dense(self.features, **options, name="fc")(x).astype(jnp.float32)


class PEVideo(nn.Module):
    """video (b, t, h, w, 3) and token ids text (..., n) -> Matched; either may be left out.

    As published, a pair is judged by the product of its features, which have any length.

    Attributes:
      backbone: The encoder of videos.
      text: The encoder of texts, whose width is the number of features f.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    backbone: VideoEncoder
    text: TextEncoder
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video=None, text=None, valid=None, *, train):
        head = partial(Head, self.text.width, self.dtype)
        if video is not None:
            _, pooled = self.backbone(video, valid, train=train)
            video = head(name="video_head")(pooled[:, 0, 0, 0])
        if text is not None:
            text = head(name="text_head")(self.text(text))
        return Matched(video, text, *Similarity(name="similarity")())


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, a text for each video."""
    size = VARIANTS[variant].get("size", VideoEncoder.size)
    return {
        "video": jax.ShapeDtypeStruct((2, 4, size, size, 3), jnp.float32),
        "text": jax.ShapeDtypeStruct((2, 8), jnp.int32),
    }


def backbone(variant, **overrides):
    return VideoEncoder(**{**VARIANTS[variant], **overrides})


def build(variant, *, text: Text = BY_VARIANT, dtype: Any = jnp.float32, **overrides):
    """Return both towers; other arguments are those of `VideoEncoder`.

    Args:
      text: Options of the text tower.
    """
    video = backbone(variant, dtype=dtype, **overrides)
    chosen = {key: value for key, value in asdict(text).items() if value}
    options = {**TEXT[variant], **chosen}
    return PEVideo(video, TextEncoder(**options, remat=video.remat, dtype=dtype), dtype)


WEIGHTS = {"transformers": names.VIDEO}
