"""BEiT (Bao et al., 2021) for videos, whose patches also attend to those of other frames.

https://arxiv.org/abs/2106.08254, https://arxiv.org/abs/2212.05051

Shapes: b batch, t frames, h w patches, c channels.
"""

from functools import cache
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid.config.values import Count, Rate
from jaxvid.errors import UserError
from jaxvid.layers import transformer
from jaxvid.layers.bert import EPSILON
from jaxvid.layers.position import check_clip
from jaxvid.layers.transformer import Attention, PatchEmbed, Remat, norm, normal, remat


class Block(transformer.Block):
    """A block of BEiT and attention over time: (b, t, 1 + h w, c) -> the same.

    Attributes:
      temporal_drop_path: Probability of skipping the attention over time in training.
    """

    temporal_drop_path: float = 0.1

    @nn.compact
    def __call__(self, x, train):
        t = x.shape[1]
        x = super().__call__(rearrange(x, "b t n c -> (b t) n c"), train)
        x = rearrange(x, "(b t) n c -> b t n c", t=t)
        if t == 1 and not self.is_initializing():
            return x
        y = norm("temporal_norm", self.dtype, self.epsilon)(x).swapaxes(1, 2)
        y = Attention(self.heads, dtype=self.dtype, name="temporal_attn")(y, train).swapaxes(1, 2)
        y = nn.Dropout(self.temporal_drop_path, (1, 2, 3), deterministic=not train)(y)
        gain = self.param("temporal_gain", nn.initializers.zeros, ())
        return x + gain.astype(self.dtype) * y

    def attend(self, x, train):
        side = round((x.shape[-2] - 1) ** 0.5)
        rows = (2 * side - 1) ** 2 + 3
        table = self.param("relative_position_bias_table", normal, (rows, self.heads))
        bias = jnp.moveaxis(table[relative_index(side)], -1, 0)
        return self.make_attention(Attention)(x, train, bias=bias)


@cache
def relative_index(side: int) -> np.ndarray:
    """Return the row of the bias table for each pair of tokens, (1 + side^2, 1 + side^2).

    The last three rows are those of the class token: to patches, from patches, to itself.
    """
    y, x = np.indices((side, side)).reshape(2, -1)
    span = 2 * side - 1
    away = (y[:, None] - y + side - 1) * span + x[:, None] - x + side - 1
    index = np.pad(away, ((1, 0), (1, 0)), constant_values=span**2 + 1)
    index[0] = span**2
    index[0, 0] = span**2 + 2
    return index


class VisionTower(nn.Module):
    """video (b, t, H, W, 3) -> frames and class tokens (b, t, 1, 1, c), patches (b, t, h, w, c).

    A frame is the normalized mean of its patches.

    Attributes:
      size: Height and width of the frames, in pixels.
      patch: Height and width of the patch that a token spans, in pixels.
      width: Channels of the tokens.
      depth: Number of blocks.
      heads: Attention heads.
      frames: Largest number of frames.
      drop_path: Probability of skipping a residual branch of a frame in the last block in training;
        it grows linearly from 0 in the first.
      temporal_drop_path: Probability of skipping the attention over time of a block in training.
      remat: Activations that are computed again in the backward pass, which saves memory: True is
        those of whole blocks, "dots" all but the results of linear layers.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    size: Count = 224
    patch: Count = 16
    width: Count = 768
    depth: Count = 12
    heads: Count = 12
    frames: Count = 12
    drop_path: Rate = 0.1
    temporal_drop_path: Rate = 0.1
    remat: Remat = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video, *, train):
        x = self.embed(video)
        for i, rate in enumerate(np.linspace(0, self.drop_path, self.depth)):
            x = remat(Block, self.remat)(
                self.heads,
                qkv_bias="qv",
                epsilon=EPSILON,
                layer_scale=0.1,
                drop_path=float(rate),
                temporal_drop_path=self.temporal_drop_path,
                dtype=self.dtype,
                name=f"block{i}",
            )(x, train)
        frames = norm("norm_pooled", self.dtype, EPSILON)(x[:, :, 1:].mean(2))
        x = norm("norm", self.dtype, EPSILON)(x)
        side = self.size // self.patch
        patches = x[:, :, 1:].reshape(*x.shape[:2], side, side, -1)
        return frames[:, :, None, None], x[:, :, :1, None], patches

    def embed(self, video):
        """Return the tokens (b, t, 1 + h w, c) before the blocks.

        Raises:
          UserError: the video has another size or more frames.
        """
        check_clip(video, self.size)
        t = video.shape[1]
        if t > self.frames:
            raise UserError(
                f"the model is for {self.frames} frames, not {t}: set model.frames to"
                " data.recipe.frames"
            )
        x = PatchEmbed(self.width, (self.patch,) * 2, dtype=self.dtype, name="patch_embed")(video)
        x = rearrange(x, "b t h w c -> b t (h w) c")
        first = self.param("class_embedding", normal, (self.width,)).astype(self.dtype)
        zeros = nn.initializers.zeros
        positions = self.param("temporal_embedding", zeros, (self.frames, self.width))
        x = jnp.concatenate([jnp.broadcast_to(first, (*x.shape[:2], 1, self.width)), x], 2)
        return x + positions[:t, None].astype(self.dtype)
