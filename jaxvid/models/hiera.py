"""Hiera (Ryali et al., 2023), https://arxiv.org/abs/2306.00989.

A vision transformer in stages, without convolutions or relative positions: masked pre-training
takes their place. In the first stages, tokens attend to those of their mask unit, a square of
tokens that pre-training hides as a whole. Later, they attend to all others. Where a stage begins,
height and width are halved by maxima over 2 x 2 queries, and channels and heads double.

Shapes: b batch, t h w grid of tokens, u mask units, k kept mask units, i j grid of tokens in a
unit, n tokens, g heads, d channels of a head, c channels.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid.config.values import Count, NonNegative, Rate
from jaxvid.errors import UserError
from jaxvid.layers import heads
from jaxvid.layers.conv import Conv
from jaxvid.layers.position import PositionTable, check_clip
from jaxvid.layers.transformer import Init, Mlp, Qkv, Remat, lecun_normal, norm, normal, remat
from jaxvid.ops.attention import attention
from jaxvid.ops.pooling import max_pool
from jaxvid.weights.names import hiera as names

VARIANTS: dict[str, dict] = {
    "test": dict(width=8, depths=(1, 1, 2), heads=1, frames=4, size=32),
    "mini": dict(width=24, depths=(1, 1, 2), heads=1, frames=8, size=32, init_std=0.0),
    "base": dict(width=96, depths=(2, 3, 16, 3), heads=1),
    "base-plus": dict(width=112, depths=(2, 3, 16, 3), heads=2),
    "large": dict(width=144, depths=(2, 6, 36, 4), heads=2),
    "huge": dict(width=256, depths=(2, 6, 36, 4), heads=4),
}
EPSILON = 1e-6  # of all layer normalizations
PATCH = (2, 4, 4)  # frames and pixels from one token to the next


class Attention(nn.Module):
    """Attention inside mask units, or between all tokens: (b, u, i, j, c) -> (..., width).

    Attributes:
      heads: Number of heads.
      width: Channels of the result.
      local: Attend inside mask units.
      pool: Replace each 2 x 2 queries by their maxima, which halves i and j.
    """

    heads: int
    width: int
    local: bool
    pool: bool
    kernel_init: Init = normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        init: Any = dict(kernel_init=self.kernel_init, dtype=self.dtype)
        tokens = rearrange(x, "b u i j c -> b u (i j) c")
        q, k, v = Qkv(self.heads, self.width, **init, name="qkv")(tokens)
        grid = (*x.shape[:4], self.width)
        if self.pool:
            pooled = max_pool(q.reshape(grid), (2, 2))
            grid = pooled.shape
            q = pooled.reshape(*grid[:2], -1, *q.shape[-2:])
        if not self.local:
            q, k, v = (rearrange(y, "b u n g d -> b (u n) g d") for y in (q, k, v))
        return nn.Dense(self.width, **init, name="proj")(attention(q, k, v).reshape(grid))


class Block(nn.Module):
    """Attention and an MLP, each on a residual branch: (b, u, i, j, c) -> (..., width).

    A shortcut whose number of channels changes is a linear layer of the normalized tokens, pooled
    as the queries are.

    Attributes:
      drop_path: Probability of skipping a residual branch of a sample in training.
      heads, width, local, pool: See `Attention`.
    """

    heads: int
    width: int
    local: bool = False
    pool: bool = False
    drop_path: float = 0.0
    kernel_init: Init = normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train):
        init: Any = dict(kernel_init=self.kernel_init, dtype=self.dtype)
        drop = nn.Dropout(self.drop_path, broadcast_dims=(1, 2, 3, 4), deterministic=not train)
        y = norm("norm1", self.dtype, EPSILON)(x)
        if x.shape[-1] != self.width:
            x = nn.Dense(self.width, **init, name="shortcut")(y)
            x = max_pool(x, (2, 2)) if self.pool else x
        attend = Attention(self.heads, self.width, self.local, self.pool, **init, name="attn")
        x = x + drop(attend(y))
        y = norm("norm2", self.dtype, EPSILON)(x)
        return x + drop(Mlp(**init, name="mlp")(y, train))


class Hiera(nn.Module):
    """The backbone: video (b, T, H, W, 3) -> features (b, t, h, w, c), c = width * 2^(stages - 1).

    Attributes:
      width: Channels of the first stage; each stage doubles them.
      depths: Blocks in each stage.
      heads: Attention heads of the first stage; each stage doubles them.
      frames: Number of frames of a clip.
      size: Height and width of the frames, in pixels.
      local: Number of first stages in which tokens attend to those of their mask unit. The first
        block of the next stage does so, too.
      pools: Number of stages that halve height and width; None means all but the first. Masked
        pre-training leaves the last one out.
      drop_path: Probability of skipping a residual branch in the last block in training; it grows
        linearly from 0 in the first.
      remat: Activations that the backward pass computes again, which saves memory and makes
        training slower: False for none, True for those of whole blocks, "dots" for all but the
        results of linear layers.
      init_std: Standard deviation of the initial kernels. 0 draws each kernel with the variance
        1 / inputs, which narrow networks need.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
      levels: Number of last stages whose features are returned, as a tuple if there are several. A
        head that needs them sets it.
    """

    width: Count
    depths: tuple[Count, ...]
    heads: Count
    frames: Count = 16
    size: Count = 224
    local: Count = 2
    pools: Count | None = None
    drop_path: Rate = 0.1
    remat: Remat = False
    init_std: NonNegative = 0.02
    dtype: Any = jnp.float32
    levels: Any = 1

    @property
    def unit(self) -> int:
        """Height and width of a mask unit, in tokens of the first stage."""
        return 2 ** (len(self.depths) - 1)

    @property
    def grid(self) -> tuple[int, int, int]:
        """The grid (t, h, w) of the tokens of the first stage."""
        t, h, w = (n // p for n, p in zip((self.frames, self.size, self.size), PATCH, strict=True))
        return t, h, w

    @property
    def stride(self) -> int:
        """Pixels of a frame from one feature to the next."""
        return PATCH[-1] * 2 ** (len(self.depths) - 1 if self.pools is None else self.pools)

    @property
    def patch(self) -> tuple[int, int, int]:
        """Frames and pixels, in height and width, of a feature."""
        return PATCH[0], self.stride, self.stride

    @nn.compact
    def __call__(self, video, kept=None, *, train):
        """Return features, or with `kept` a list of those of all stages, as (b, k, i, j, c).

        Args:
          video: (b, T, H, W, 3).
          kept: (b, k), numbers of the mask units that are seen; of the others, not even the pixels
            are. None means all.
          train: Use drop path.

        Raises:
          UserError: the clips have another size, or one that mask units do not divide.
        """
        check_clip(video, self.size, self.frames)
        unit = PATCH[-1] * self.unit
        if self.size % unit or self.frames % PATCH[0]:
            raise UserError(
                f"model.size is a multiple of {unit} and model.frames one of {PATCH[0]}, not"
                f" {self.size} and {self.frames}"
            )
        kernel_init = nn.initializers.truncated_normal(self.init_std)
        init: Any = dict(kernel_init=kernel_init if self.init_std else lecun_normal)
        init |= dict(dtype=self.dtype)
        embed = Conv(self.width, (3, 7, 7), PATCH, use_bias=True, **init, name="patch_embed")
        x = self.to_units(
            embed(video if kept is None else self.hide(video, kept)) + self.positions()
        )
        if kept is not None:
            x = jnp.take_along_axis(x, kept[:, :, None, None, None], 1)
        block, stages = remat(Block, self.remat), []
        pools = len(self.depths) - 1 if self.pools is None else self.pools
        rates = enumerate(np.linspace(0, self.drop_path, sum(self.depths)).tolist())
        for s, depth in enumerate(self.depths):
            for b in range(depth):
                begins = s > 0 and b == 0
                number, rate = next(rates)
                x = block(
                    self.heads * 2**s,
                    self.width * 2**s,
                    local=s - begins < self.local,
                    pool=begins and s <= pools,
                    drop_path=rate,
                    **init,
                    name=f"block{number}",
                )(x, train)
            stages.append(x)
        if kept is not None:
            return stages
        maps = tuple(map(self.to_map, stages[-self.levels :]))
        return maps if self.levels > 1 else maps[0]

    def positions(self):
        """Return the sum of the position tables of space and of time, (t, h, w, c)."""
        t, h, w = self.grid
        space = PositionTable((1, h, w), self.width, dtype=self.dtype, name="pos_embed_spatial")()
        time = PositionTable((t, 1, 1), self.width, dtype=self.dtype, name="pos_embed_temporal")()
        return (time[:, None] + space).reshape(t, h, w, -1)

    @nn.nowrap
    def hide(self, video, kept):
        """Set all pixels outside of the kept mask units to 0."""
        (t, h, w), side = self.grid, PATCH[-1] * self.unit
        seen = (kept[:, :, None] == jnp.arange(t * h * w // self.unit**2)).any(1)
        seen = seen.reshape(-1, t, 1, h // self.unit, 1, w // self.unit, 1, 1)
        parts = rearrange(video, "b (t a) (u i) (v j) c -> b t a u i v j c", t=t, i=side, j=side)
        return jnp.where(seen, parts, 0).reshape(video.shape)

    @nn.nowrap
    def to_units(self, x):
        """Rearrange the tokens of the first stage: (b, t, h, w, c) -> (b, u, i, j, c)."""
        side = dict(i=self.unit, j=self.unit)
        return rearrange(x, "b t (u i) (v j) c -> b (t u v) i j c", **side)

    @nn.nowrap
    def to_map(self, x):
        """Rearrange the tokens of any stage: (b, u, i, j, c) -> (b, t, h, w, c)."""
        t, h, _ = self.grid
        sides = dict(t=t, u=h // self.unit)
        return rearrange(x, "b (t u v) i j c -> b t (u i) (v j) c", **sides)


class Classifier(heads.PoolClassifier):
    """The mean over all positions, layer normalization, and a linear classifier."""

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, h, w, c) -> (b, classes)
        x = norm("norm", self.dtype, EPSILON)(x.mean((1, 2, 3)))
        return super().__call__(x, train=train)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return example_of(backbone(variant))


def example_of(net: Hiera) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the inputs of a backbone: clips of the size that its positions are for."""
    return {"video": jax.ShapeDtypeStruct((2, net.frames, net.size, net.size, 3), jnp.float32)}


def backbone(variant, **overrides):
    return Hiera(**{**VARIANTS[variant], **overrides})


def build(
    variant,
    *,
    num_classes,
    dropout: Rate = 0.0,
    head_std: NonNegative = 2e-5,
    dtype=jnp.float32,
    **overrides,
):
    """Return the recognizer; other arguments are those of `Hiera`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
      head_std: Standard deviation of the initial kernel of the classifier.
    """
    head = Classifier(num_classes, dropout, dtype, head_std)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


WEIGHTS = {"official": names.OFFICIAL, "pretraining": names.PRETRAINING}
