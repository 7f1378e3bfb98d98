"""VideoPrism LvT (Zhao et al., 2024), https://arxiv.org/abs/2402.13217.

VideoPrism's encoder beside a tower of texts, trained so that a video and its text have similar
features (LiT, Zhai et al., 2022). Blocks that see all tokens of a video follow the encoder, then
attention pooling.

Shapes: b batch, t h w tokens, n tokens of a sequence, c channels, f = c features of the space that
videos and texts share.
"""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid.config.values import Count, Natural, Positive
from jaxvid.errors import UserError
from jaxvid.layers.transformer import Remat, lecun_normal, remat
from jaxvid.models import videoprism
from jaxvid.models.clip import Matched
from jaxvid.models.videoprism import AttentionPool, Block, ShiftedNorm, VideoPrism, backbone
from jaxvid.weights.names import videoprism as names

VARIANTS = videoprism.VARIANTS
# Options of the text towers, whose width and heads are those of the encoder.
TEXT: dict[str, dict] = {"test": dict(depth=1, vocabulary=64, length=8), "base": {}, "large": {}}

__all__ = ["VARIANTS", "WEIGHTS", "backbone", "build", "example"]


@dataclass(frozen=True)
class Text:
    """Options of the text tower.

    Attributes:
      depth: Number of blocks; 0 takes the value of the variant.
      vocabulary: Number of token ids; 0 takes the value of the variant.
      length: Largest number of tokens; 0 takes the value of the variant.
    """

    depth: Natural = 0
    vocabulary: Natural = 0
    length: Natural = 0


BY_VARIANT = Text()


class VideoText(nn.Module):
    """video (b, T, H, W, 3) and token ids text (..., n) -> Matched; either may be left out.

    Attributes:
      backbone: The encoder.
      video: From its features to one vector.
      text: Of the same features.
      scale: Factor of the cosines in the loss, a constant: the published model has none.
    """

    backbone: VideoPrism
    video: nn.Module
    text: nn.Module
    scale: float = 1.0

    def __call__(self, video=None, text=None, *, train):
        if video is not None:
            video = self.video(self.backbone(video, train=train), train).astype(jnp.float32)
        if text is not None:
            text = self.text(text).astype(jnp.float32)
        return Matched(video, text, jnp.asarray(self.scale, jnp.float32))


class VideoHead(nn.Module):
    """Blocks that see all tokens of a video, then attention pooling: (b, t, h, w, c) -> (b, f).

    Attributes:
      heads: Attention heads.
      depth: Number of blocks.
    """

    heads: int
    depth: int = 2
    remat: Remat = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train):
        x = rearrange(x, "b ... c -> b (...) c")
        block = partial(remat(Block, self.remat), kernel_init=lecun_normal, dtype=self.dtype)
        for i in range(self.depth):
            x = block(self.heads, name=f"block{i}")(x, train)
        return AttentionPool(self.heads, self.dtype, name="pool")(x)


class TextTower(nn.Module):
    """Token ids (..., n), zeros of which are padding -> (..., f).

    A learned class token follows the tokens and stands for the text. It has no position.

    Attributes:
      width: Channels c of the tokens.
      heads: Attention heads.
      depth: Number of blocks.
      vocabulary: Number of token ids.
      length: Largest number of tokens n.
      endpoint: Positions are sine and cosine waves whose frequencies fall from 1 to 1/10000, as in
        the authors' code. If False, the last one is a step before, as in transformers.
    """

    width: Count
    heads: Count
    depth: Count = 12
    vocabulary: Count = 32000
    length: Count = 64
    endpoint: bool = True
    remat: Remat = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, text, masked=True):
        """Compute the features; without `masked`, tokens see later ones and padding, too."""
        n, c = text.shape[-1], self.width
        if n > self.length:
            raise UserError(f"texts have at most {self.length} tokens, not {n}")
        init = nn.initializers.normal(c**-0.5)
        embed = nn.Embed(
            self.vocabulary, c, dtype=self.dtype, embedding_init=init, name="token_embedding"
        )
        last = self.param("class_embedding", init, (1, c)).astype(self.dtype)
        x = embed(text) * c**0.5 + self.positions()[:n].astype(self.dtype)
        x = jnp.concatenate([x, jnp.broadcast_to(last * c**0.5, (*x.shape[:-2], 1, c))], -2)
        shown = jnp.pad(text > 0, [(0, 0)] * (text.ndim - 1) + [(0, 1)], constant_values=True)
        mask = [shown[..., None, None, :]] if masked else []
        options: dict[str, Any] = dict(activation=nn.relu, kernel_init=lecun_normal)
        block = partial(remat(Block, self.remat), causal=masked, dtype=self.dtype, **options)
        for i in range(self.depth):
            x = block(self.heads, name=f"block{i}")(x, False, *mask)
        return ShiftedNorm(self.dtype, name="norm")(x)[..., -1, :]

    @nn.nowrap
    def positions(self):
        """Return the positions (length, c) of the tokens: all sines, then all cosines."""
        half = self.width // 2
        steps = np.arange(half) / (half - 1 if self.endpoint else half)
        angles = np.arange(self.length)[:, None] * 10000.0**-steps
        return jnp.asarray(np.concatenate([np.sin(angles), np.cos(angles)], 1), jnp.float32)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, a text for each video."""
    length = TEXT[variant].get("length", TextTower.length)
    text = jax.ShapeDtypeStruct((2, length), jnp.int32)
    return {**videoprism.example(variant), "text": text}


def build(
    variant,
    *,
    text: Text = BY_VARIANT,
    video_depth: Count = 2,
    endpoint: bool = True,
    scale: Positive = 100.0,
    dtype: Any = jnp.float32,
    **overrides,
):
    """Return both towers; other arguments are those of `VideoPrism`.

    Args:
      text: Options of the text tower.
      video_depth: Number of blocks that see all tokens of a video.
      endpoint: Use the authors' positions of the tokens of a text, see `TextTower`.
      scale: Factor of the cosines in the loss.
    """
    encoder = backbone(variant, dtype=dtype, **overrides)
    chosen = {key: value for key, value in asdict(text).items() if value}
    shared: dict[str, Any] = dict(heads=encoder.heads, remat=encoder.remat, dtype=dtype)
    tower = TextTower(encoder.width, endpoint=endpoint, **{**TEXT[variant], **chosen}, **shared)
    return VideoText(encoder, VideoHead(depth=video_depth, **shared), tower, scale)


# Weights

WEIGHTS = {"transformers": names.towers(), "flax": names.flax_towers()}
