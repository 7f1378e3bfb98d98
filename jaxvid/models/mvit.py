"""MViT v2, the Multiscale Vision Transformer (Li et al., 2022), https://arxiv.org/abs/2112.01526.

Attention whose queries, keys and values are pooled by a depthwise convolution each: keys and values
to a small grid everywhere, queries where a stage begins. A stage halves height and width and
doubles channels and heads. Scores have embeddings of relative positions, decomposed into time,
height and width. The pooled queries are added to the result of the attention.

Shapes: b batch, n tokens (a class token, then those of the grid t h w), g heads, d channels of a
head, c channels.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Count, NonNegative, Rate
from jaxvid.layers import heads
from jaxvid.layers.conv import Conv
from jaxvid.layers.position import check_clip
from jaxvid.layers.transformer import Init, Mlp, Qkv, Remat, lecun_normal, norm, normal, remat
from jaxvid.ops import conv, relative_position
from jaxvid.ops.attention import attention
from jaxvid.ops.pooling import max_pool
from jaxvid.weights.names import mvit as names

Grid = tuple[int, int, int]
VARIANTS: dict[str, dict] = {
    "test": dict(width=8, depth=3, stages=(1, 2), kv_stride=(1, 4, 4), frames=4, size=32),
    "small": dict(width=96, depth=16, stages=(1, 3, 14)),
    "base": dict(width=96, depth=24, stages=(2, 5, 21), frames=32),
    "large": dict(width=144, depth=48, heads=2, stages=(2, 8, 44), frames=40, size=312),
}
EPSILON = 1e-6  # of all layer normalizations


class HeadConv(nn.Module):
    """A convolution that keeps channels apart, with the same kernel for each head.

    Attributes:
      strides: Numbers for time, height and width.
    """

    strides: Grid
    kernel_init: Init = normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):  # (b, t, h, w, g, d) -> (b, t', h', w', g, d)
        kernel = self.param("kernel", self.kernel_init, (3, 3, 3, 1, x.shape[-1]))
        kernel = jnp.tile(kernel.astype(self.dtype), x.shape[-2])
        y = x.reshape(*x.shape[:-2], -1)
        y = conv.conv(y, kernel, self.strides, (1, 1, 1), groups=y.shape[-1])
        return y.reshape(*y.shape[:-1], *x.shape[-2:])


class Attention(nn.Module):
    """Attention with pooled queries, keys and values: (b, n, c) -> (b, n', width).

    Attributes:
      heads: Number of heads.
      width: Channels of the result.
      grid: Grid (t, h, w) of the tokens.
      strides: Numbers of tokens from one query to the next, and from one key to the next.
      rows: Numbers of rows of the tables of relative positions.
    """

    heads: int
    width: int
    grid: Grid
    strides: tuple[Grid, Grid]
    rows: Grid
    kernel_init: Init = normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        init: Any = dict(kernel_init=self.kernel_init, dtype=self.dtype)
        q, k, v = Qkv(self.heads, self.width, **init, name="qkv")(x)
        of_query, of_key = self.strides
        (q, queries), (k, keys), (v, _) = (
            self.pool(*pair) for pair in (("q", q, of_query), ("k", k, of_key), ("v", v, of_key))
        )
        axes = zip("thw", self.rows, strict=True)
        tables = [self.param(f"rel_pos_{a}", normal, (r, q.shape[-1])) for a, r in axes]
        y = attention(
            *relative_position.with_relative_positions(
                q, k, tables, (queries, keys), first=1, scale=q.shape[-1] ** -0.5
            ),
            v,
            scale=1.0,
        )
        y = y.at[:, 1:].add(q[:, 1:])
        return nn.Dense(self.width, **init, name="proj")(y.reshape(*y.shape[:2], -1))

    def pool(self, name: str, x: jax.Array, strides: Grid) -> tuple[jax.Array, Grid]:
        """Return the pooled tokens (b, n', g, d) and their grid. The class token is kept."""
        init: Any = dict(kernel_init=self.kernel_init, dtype=self.dtype)
        first, rest = x[:, :1], x[:, 1:].reshape(len(x), *self.grid, *x.shape[2:])
        rest = HeadConv(strides, **init, name=f"pool_{name}")(rest)
        joined = jnp.concatenate([first, rest.reshape(len(x), -1, *x.shape[2:])], 1)
        return norm(f"norm_{name}", self.dtype, EPSILON)(joined), divided(self.grid, strides)


class Block(nn.Module):
    """Pooled attention and an MLP, each on a residual branch: (b, n, c) -> (b, n', width).

    A shortcut whose number of channels changes is a linear layer of the normalized tokens.

    Attributes:
      widen: Which branch changes the number of channels.
      drop_path: Probability of skipping a residual branch of a sample in training.
      heads, width, grid, strides, rows: See `Attention`.
    """

    heads: int
    width: int
    grid: Grid
    strides: tuple[Grid, Grid]
    rows: Grid
    widen: Literal["attention", "mlp"] = "attention"
    drop_path: float = 0.0
    kernel_init: Init = normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train):
        init: Any = dict(kernel_init=self.kernel_init, dtype=self.dtype)
        drop = nn.Dropout(self.drop_path, broadcast_dims=(1, 2), deterministic=not train)
        inside = self.width if self.widen == "attention" else x.shape[-1]
        shortcut = nn.Dense(self.width, **init, name="shortcut")

        y = norm("norm1", self.dtype, EPSILON)(x)
        x = shortcut(y) if inside != x.shape[-1] else x
        pooled = self.grid, self.strides, self.rows
        y = Attention(self.heads, inside, *pooled, **init, name="attn")(y)
        x = pool_shortcut(x, self.grid, self.strides[0]) + drop(y)
        y = norm("norm2", self.dtype, EPSILON)(x)
        x = shortcut(y) if self.width != inside else x
        return x + drop(Mlp(width=self.width, **init, name="mlp")(y, train))


def pool_shortcut(x: jax.Array, grid: Grid, strides: Grid) -> jax.Array:
    """Return the maxima of overlapping windows of the grid: (b, n, c) -> (b, n', c)."""
    if max(strides) == 1:
        return x
    size = tuple(s + 1 if s > 1 else s for s in strides)
    rest = x[:, 1:].reshape(len(x), *grid, -1)
    rest = max_pool(rest, size, strides, tuple(s // 2 for s in size))
    return jnp.concatenate([x[:, :1], rest.reshape(len(x), -1, x.shape[-1])], 1)


class MViT(nn.Module):
    """The backbone: video (b, T, H, W, 3) -> features (b, t, h, w, c), c = width * 2^stages.

    Attributes:
      width: Channels of the first block; each stage doubles them.
      depth: Number of blocks.
      heads: Attention heads of the first block; each stage doubles them.
      stages: Numbers of the blocks, from 0, that begin a stage.
      kv_stride: Numbers of tokens from one key to the next in time, height and width in the first
        block; each stage halves them.
      widen: The part that doubles the channels: "attention" of the block that begins a stage, or
        "mlp" of the block before it, as in the model whose pre-training is MaskFeat.
      frames: Number of frames of a clip. The tables of relative positions are for it.
      size: Height and width of a clip in pixels, also for the tables.
      resize: Take clips of all sizes, and resize the tables in each call. If False, other sizes are
        an error.
      drop_path: Probability of skipping a residual branch in the last block in training; it grows
        linearly from 0 in the first.
      remat: Activations that the backward pass computes again, which saves memory and makes
        training slower: False for none, True for those of whole blocks, "dots" for all but the
        results of linear layers.
      init_std: Standard deviation of the initial kernels. 0 draws each kernel with the variance
        1 / inputs, which narrow networks need.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
      output: "map" returns the features, and "both" features and class token (b, 1, 1, 1, c). A
        head that needs the token sets it.
    """

    width: Count
    depth: Count
    stages: tuple[Count, ...]
    heads: Count = 1
    kv_stride: tuple[Count, Count, Count] = (1, 8, 8)
    widen: Literal["attention", "mlp"] = "attention"
    frames: Count = 16
    size: Count = 224
    resize: bool = False
    drop_path: Rate = 0.1
    remat: Remat = False
    init_std: NonNegative = 0.02
    dtype: Any = jnp.float32
    output: Any = "map"

    @property
    def stride(self) -> int:
        """Pixels of a frame from one feature to the next."""
        return 4 * 2 ** len(self.stages)

    @nn.compact
    def __call__(self, video, *, train):
        if not self.resize:
            check_clip(video, self.size, self.frames)
        kernel_init = nn.initializers.truncated_normal(self.init_std)
        init: Any = dict(kernel_init=kernel_init if self.init_std else lecun_normal)
        init |= dict(dtype=self.dtype)
        embed = Conv(self.width, (3, 7, 7), (2, 4, 4), use_bias=True, **init, name="patch_embed")
        x, grid = embed(video), divided(video.shape[1:4], (2, 4, 4))
        token = self.param("cls_token", nn.initializers.zeros, (1, 1, self.width))
        token = jnp.broadcast_to(token.astype(self.dtype), (len(x), 1, self.width))
        x = jnp.concatenate([token, x.reshape(len(x), -1, self.width)], 1)
        block = partial(remat(Block, self.remat), widen=self.widen, **init)
        rates = np.linspace(0, self.drop_path, self.depth).tolist()
        for i, (rate, fields) in enumerate(zip(rates, self.blocks(), strict=True)):
            x = block(**fields, grid=grid, drop_path=rate, name=f"block{i}")(x, train)
            grid = divided(grid, fields["strides"][0])
        x = norm("norm", self.dtype, EPSILON)(x)
        features = x[:, 1:].reshape(len(x), *grid, -1)
        return features if self.output == "map" else (features, x[:, :1, None, None])

    @nn.nowrap
    def blocks(self) -> Iterator[dict[str, Any]]:
        """Yield the fields of each block that differ between blocks."""
        width, g, keys = self.width, self.heads, self.kv_stride
        t, side = divided((self.frames, self.size, self.size), (2, 4, 4))[:2]
        for i in range(self.depth):
            queries, step = (1, 1, 1), 1
            if i in self.stages:
                queries, step, g = (1, 2, 2), 2, g * 2
                keys = tuple(max(stride // 2, 1) for stride in keys)
            if (i if self.widen == "attention" else i + 1) in self.stages:
                width *= 2
            # Tables are for lengths that are rounded down, where the grid is rounded up.
            length = 2 * max(side // step, side // keys[1]) - 1
            yield dict(
                width=width, heads=g, strides=(queries, keys), rows=(2 * t - 1, length, length)
            )
            side //= step


def divided(grid: tuple[int, ...], strides: Grid) -> Grid:
    """Return the grid that a convolution with these strides returns."""
    t, h, w = (-(-n // stride) for n, stride in zip(grid, strides, strict=True))
    return t, h, w


class Classifier(heads.PoolClassifier):
    """A linear classifier of the class token."""

    def __call__(self, x, *, train):  # features and class token -> (b, classes)
        return super().__call__(x[1], train=train)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    net = backbone(variant)
    shape = 2, net.frames, net.size, net.size, 3
    return {"video": jax.ShapeDtypeStruct(shape, jnp.float32)}


def backbone(variant, **overrides):
    return MViT(**{**VARIANTS[variant], **overrides})


def build(
    variant,
    *,
    num_classes,
    dropout: Rate = 0.5,
    head_std: NonNegative = 0.02,
    dtype=jnp.float32,
    **overrides,
):
    """Return the recognizer; other arguments are those of `MViT`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
      head_std: Standard deviation of the initial kernel of the classifier.
    """
    head = Classifier(num_classes, dropout, dtype, head_std)
    return heads.Recognizer(backbone(variant, dtype=dtype, output="both", **overrides), head)


WEIGHTS = {"mmaction": names.MMACTION, "maskfeat": names.MASKFEAT}
