"""CLIP's towers (Radford et al., 2021): frames and texts in one space, by transformers.

https://arxiv.org/abs/2103.00020

Shapes: b batch, t frames, n tokens, c channels, g heads, d channels of a head, f features of the
space that both share.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid.config.values import Count
from jaxvid.layers.attention import SplitHeads

normal = nn.initializers.normal(0.02)


class Attention(nn.Module):
    """Multi-head attention: (..., n, c) -> the same; `causal` tokens see none that follow."""

    heads: int
    causal: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        n, c = x.shape[-2:]
        q, k, v = SplitHeads(self.heads, self.dtype, normal, name="in_proj")(x)
        scores = ((q * q.shape[-1] ** -0.5) @ k.swapaxes(-1, -2)).astype(jnp.float32)
        if self.causal:
            scores = jnp.where(np.tri(n, dtype=bool), scores, -jnp.inf)
        x = nn.softmax(scores).astype(self.dtype) @ v
        x = rearrange(x, "... g n d -> ... n (g d)")
        return nn.Dense(c, dtype=self.dtype, kernel_init=normal, name="out_proj")(x)


class Mlp(nn.Module):
    """Two layers, four times as wide between: (..., c) -> the same."""

    quick: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        c = x.shape[-1]
        y = nn.Dense(4 * c, dtype=self.dtype, kernel_init=normal, name="c_fc")(x)
        y = y * nn.sigmoid(1.702 * y) if self.quick else nn.gelu(y, approximate=False)
        return nn.Dense(c, dtype=self.dtype, kernel_init=normal, name="c_proj")(y)


class Block(nn.Module):
    """Attention and an MLP, each on a normalised residual branch: (..., n, c) -> the same."""

    heads: int
    causal: bool = False
    quick: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        attention = Attention(self.heads, self.causal, self.dtype, name="attn")
        x = x + attention(norm("ln_1", self.dtype)(x))
        return x + Mlp(self.quick, self.dtype, name="mlp")(norm("ln_2", self.dtype)(x))


class Transformer(nn.Module):
    """What the towers and ActionCLIP's adapter have in common: `depth` blocks, one after another.

    Attributes:
      depth: Number of blocks.
      heads: Attention heads.
      quick: Use OpenAI's approximation of the GELU; many models of open_clip have the exact one.
      remat: Recompute the blocks in the backward pass instead of storing their activations, which
        saves memory and costs time.
      dtype: compute dtype; parameters, softmax and normalisation statistics stay float32.
    """

    depth: Count = 12
    heads: Count = 12
    quick: bool = True
    remat: bool = False
    dtype: Any = jnp.float32

    def blocks(self, x, causal=False):
        """(..., n, c) -> the same."""
        block = nn.remat(Block) if self.remat else Block
        for i in range(self.depth):
            x = block(self.heads, causal, self.quick, self.dtype, name=f"block{i}")(x)
        return x


class VisionTower(Transformer):
    """Each frame by itself: video (b, t, h, w, 3) -> (b, t, 1, 1, f), a map of one place.

    Attributes:
      size: Height and width of the frames, in pixels.
      patch: Height and width of the patch that a token spans, in pixels.
      width: Channels of the tokens.
      features: Channels f of the result.
    """

    size: Count = 224
    patch: Count = 16
    width: Count = 768
    features: Count = 512

    @nn.compact
    def __call__(self, video, *, train):
        if video.shape[2:4] != (self.size, self.size):
            raise ValueError(f"frames are {self.size} x {self.size} pixels, not {video.shape}")
        scaled = nn.initializers.normal(self.width**-0.5)
        tokens = (self.size // self.patch) ** 2
        first = self.param("class_embedding", scaled, (self.width,))
        positions = self.param("positional_embedding", scaled, (1 + tokens, self.width))
        proj = self.param("proj", scaled, (self.width, self.features))
        x = PatchEmbed(self.width, self.patch, self.dtype, name="conv1")(video)
        first = jnp.broadcast_to(first.astype(self.dtype), (*x.shape[:2], 1, self.width))
        x = jnp.concatenate([first, x], -2) + positions.astype(self.dtype)
        x = self.blocks(norm("ln_pre", self.dtype)(x))
        x = norm("ln_post", self.dtype)(x[..., :1, None, :])
        return x @ proj.astype(self.dtype)


class PatchEmbed(nn.Module):
    """Each square patch of a frame mapped to a token: (b, t, h, w, 3) -> (b, t, n, width).

    A strided convolution, computed as one matrix product: much faster under XLA.
    """

    width: int
    patch: int
    dtype: Any

    @nn.compact
    def __call__(self, video):
        p, channels = self.patch, video.shape[-1]
        kernel = self.param("kernel", normal, (p, p, channels, self.width))
        x = rearrange(video.astype(self.dtype), "b t (h i) (w j) c -> b t (h w) (i j c)", i=p, j=p)
        return x @ kernel.reshape(-1, self.width).astype(self.dtype)


class TextTower(Transformer):
    """Token ids (..., n), as `data/text/tokenizer.py` makes them -> (..., f).

    What the last token of a text, that with the largest id, has seen of it stands for the text.

    Attributes:
      vocabulary: number of token ids.
      length: n at most.
      width: channels of the tokens.
      features: f.
    """

    vocabulary: int = 49408
    length: int = 77
    width: int = 512
    features: int = 512

    @nn.compact
    def __call__(self, text):
        n = text.shape[-1]
        if n > self.length:
            raise ValueError(f"texts have at most {self.length} tokens, not {n}")
        embed = nn.Embed(
            self.vocabulary, self.width, dtype=self.dtype, embedding_init=normal,
            name="token_embedding",
        )  # fmt: skip
        small, scaled = nn.initializers.normal(0.01), nn.initializers.normal(self.width**-0.5)
        positions = self.param("positional_embedding", small, (self.length, self.width))
        proj = self.param("text_projection", scaled, (self.width, self.features))
        x = self.blocks(embed(text) + positions[:n].astype(self.dtype), causal=True)
        x = norm("ln_final", self.dtype)(x)
        end = text.argmax(-1)[..., None, None]
        return jnp.take_along_axis(x, end, -2)[..., 0, :] @ proj.astype(self.dtype)


class Scale(nn.Module):
    """What multiplies cosines, learned: float32 ()."""

    @nn.compact
    def __call__(self):
        start = nn.initializers.constant(np.log(1 / 0.07))
        return jnp.exp(self.param("logit_scale", start, ()))


def norm(name, dtype):
    return nn.LayerNorm(epsilon=1e-5, dtype=dtype, name=name)
