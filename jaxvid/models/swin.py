"""Video Swin Transformer (Liu et al., 2021), https://arxiv.org/abs/2106.13230.

Attention in 3-D windows that shift by half a window in every second block; each stage after the
first halves the spatial grid and doubles the width.

Shapes: b batch, t h w token grid, c channels, k windows, n tokens in a window, g heads, d width
of a head.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid.config.values import Count, NonNegative, Rate
from jaxvid.layers import heads, transformer
from jaxvid.layers.transformer import (
    Init,
    PatchEmbed,
    Remat,
    lecun_normal,
    norm,
    normal,
    pad_to_multiple,
    remat,
)
from jaxvid.ops.window_attention import relative_rows, window_attention
from jaxvid.weights import inflate
from jaxvid.weights.convert import Weights

VARIANTS: dict[str, dict] = {
    "test": dict(width=8, depths=(2, 1), heads=(2, 4), window=(2, 2, 2), patch=(2, 4, 4)),
    "mini": dict(
        width=32, depths=(2, 2), heads=(2, 4), window=(4, 4, 4), patch=(2, 4, 4), init_std=0.0
    ),
    "tiny": dict(width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24)),
    "small": dict(width=96, depths=(2, 2, 18, 2), heads=(3, 6, 12, 24)),
    "base": dict(width=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32)),
    "large": dict(width=192, depths=(2, 2, 18, 2), heads=(6, 12, 24, 48)),
}


class Swin(nn.Module):
    """The backbone: video (b, T, H, W, 3) -> features (b, t, h, w, c), c = width * 2^(stages - 1).

    Attributes:
      width: Channels of the first stage; each stage doubles them.
      depths: Blocks in each stage.
      heads: Attention heads in each stage.
      window: Tokens that a window spans in time, height and width.
      patch: Pixels that a token spans in time, height and width, or in height and width alone.
      drop_path: Probability of skipping a residual branch in the last block in training; it grows
        linearly from 0 in the first.
      remat: Activations that the backward pass computes again, which saves memory and makes
        training slower: False for none, True for those of whole blocks, "dots" for all but the
        results of linear layers.
      init_std: Standard deviation of the initial kernels. 0 draws each kernel with the variance
        1 / inputs, so that signals keep their size. Narrow networks need it: with the published
        0.02 their attention and MLPs begin near 0, and they stay at chance for hundreds of steps.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
      levels: Number of last stages whose features are returned, as a tuple if there are several. A
        head that needs them sets it.
    """

    width: Count
    depths: tuple[Count, ...]
    heads: tuple[Count, ...]
    window: tuple[Count, Count, Count] = (8, 7, 7)
    patch: tuple[Count, ...] = (2, 4, 4)
    drop_path: Rate = 0.1
    remat: Remat = False
    init_std: NonNegative = 0.02
    dtype: Any = jnp.float32
    levels: Any = 1

    @property
    def stride(self) -> int:
        """Pixels of a frame from one feature to the next."""
        return max(self.patch[-2:]) * 2 ** (len(self.depths) - 1)

    @nn.compact
    def __call__(self, video, *, train):
        init = nn.initializers.truncated_normal(self.init_std) if self.init_std else lecun_normal
        block = remat(Block, self.remat)
        rates = iter(np.linspace(0, self.drop_path, sum(self.depths)))
        embed = PatchEmbed(self.width, self.patch, dtype=self.dtype, pad=True, name="patch_embed")
        x = embed(video)
        x, lower = norm("patch_norm", self.dtype)(x), []
        for s, (depth, g) in enumerate(zip(self.depths, self.heads, strict=True)):
            if s:
                lower.append(x)
                x = PatchMerging(self.dtype, init, name=f"merge{s - 1}")(x)
            for b in range(depth):
                x = block(
                    heads=g,
                    window=self.window,
                    shifted=bool(b % 2),
                    drop_path=float(next(rates)),
                    kernel_init=init,
                    dtype=self.dtype,
                    name=f"stage{s}_block{b}",
                )(x, train)
        x = norm("norm", self.dtype)(x)
        return x if self.levels == 1 else (*lower[1 - self.levels :], x)


class Block(transformer.Block):
    """A block whose tokens attend to those of their window.

    Attributes:
      window: Tokens that a window spans in time, height and width.
      shifted: Shift the windows by half their size.
    """

    window: tuple[int, int, int] = (8, 7, 7)
    shifted: bool = False

    def attend(self, x, train):  # (b, t, h, w, c)
        size, shift = clip_window(x.shape[1:4], self.window, self.shifted)
        windows, regions, undo = partition(x, size, shift)
        attention = self.make_attention(WindowAttention, window=self.window)
        return undo(attention(windows, regions, train))


class WindowAttention(transformer.Attention):
    """Attention inside each window, with a learned bias for every relative offset."""

    window: tuple[int, int, int] = (8, 7, 7)

    @nn.compact
    def __call__(self, x, regions, train=False):  # (b, k, n, c), (k, n) or None -> (b, k, n, c)
        offsets = math.prod(2 * s - 1 for s in self.window)
        table = self.param("relative_position_bias_table", normal, (offsets, self.heads))
        # A window clipped to a small grid takes the top-left part of the full window's index:
        # published weights were trained so.
        codes = position_codes(self.window)[: x.shape[-2]]
        options = dict(table=table, codes=codes, regions=regions)
        return super().__call__(x, train, window_attention, **options)


class PatchMerging(nn.Module):
    """Every 2 x 2 neighbors become one token of twice the width."""

    dtype: Any
    kernel_init: Init = normal

    @nn.compact
    def __call__(self, x):  # (b, t, h, w, c) -> (b, t, h/2, w/2, 2c)
        x = pad_to_multiple(x, (1, 2, 2))
        x = rearrange(x, "b t (h i) (w j) c -> b t h w (j i c)", i=2, j=2)
        x = norm("norm", self.dtype)(x)
        width = x.shape[-1] // 2
        return nn.Dense(
            width, use_bias=False, dtype=self.dtype, kernel_init=self.kernel_init, name="reduction"
        )(x)


def position_codes(size):
    """(n,) position of each token in a full window, as a number.

    The difference of two of them numbers the offset, and so the row of the bias table.
    """
    t, h, w = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij")).reshape(3, -1)
    return (t * (2 * size[1] - 1) + h) * (2 * size[2] - 1) + w


def offset_index(size):
    """(n, n) row of the bias table for each pair of tokens in a full window."""
    return relative_rows(position_codes(size), math.prod(2 * s - 1 for s in size))


def clip_window(grid, size, shifted):
    """A window never exceeds the grid, and an axis that is one window long is not shifted."""
    shift = tuple(s // 2 if shifted and g > s else 0 for g, s in zip(grid, size, strict=True))
    return tuple(min(g, s) for g, s in zip(grid, size, strict=True)), shift


def partition(x, size, shift):
    """Cut (b, t, h, w, c) into windows of `size` after rolling it back by `shift`.

    Returns:
      windows (b, k, n, c); the regions (k, n) of tokens, which differ where only the roll made
      them neighbors, or None; and the map from windows back to (b, t, h, w, c).
    """
    grid = x.shape[1:4]
    x = pad_to_multiple(x, size)
    padded = x.shape[1:4]
    if any(shift):
        x = jnp.roll(x, [-s for s in shift], (1, 2, 3))
    (t, h, w), (a, i, j) = (p // s for p, s in zip(padded, size, strict=True)), size
    axes = dict(t=t, h=h, w=w, a=a, i=i, j=j)
    windows = rearrange(x, "b (t a) (h i) (w j) c -> b (t h w) (a i j) c", **axes)

    def undo(y):
        y = rearrange(y, "b (t h w) (a i j) c -> b (t a) (h i) (w j) c", **axes)
        if any(shift):
            y = jnp.roll(y, shift, (1, 2, 3))
        return y[:, : grid[0], : grid[1], : grid[2]]

    return windows, shift_regions(padded, size, shift) if any(shift) else None, undo


def shift_regions(grid, size, shift):
    """(k, n) region of each token: two tokens of one region were neighbors before the roll."""
    region = np.zeros(grid, np.int32)
    for axis, (g, s, d) in enumerate(zip(grid, size, shift, strict=True)):
        label = np.zeros(g, np.int32)
        if d:
            label[-s:], label[-d:] = 1, 2
        region = region * 3 + np.expand_dims(label, tuple(a for a in range(3) if a != axis))
    a, i, j = size
    return rearrange(region, "(t a) (h i) (w j) -> (t h w) (a i j)", a=a, i=i, j=j)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 4, 32, 32, 3), jnp.float32)}


def backbone(variant, **overrides):
    return Swin(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `Swin`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights

BUFFERS = (".*relative_position_index", ".*attn_mask", ".*num_batches_tracked")
ORDER = (
    "backbone cls_head patch_embed layers norm3 blocks downsample norm1 attn norm2 mlp"
    " relative_position_bias_table relative_position_index qkv proj reduction norm fc1 fc2 fc_cls"
    " weight bias"
)
# "layers.0.blocks.1.mlp.fc1.weight" -> "backbone/stage0_block1/mlp/fc1/kernel"
BACKBONE = (
    ("patch_embed.proj", "backbone/patch_embed"),
    ("patch_embed.norm", "backbone/patch_norm"),
    ("layers.{s}.blocks.{b}", "backbone/stage{s}_block{b}"),
    ("layers.{s}.downsample", "backbone/merge{s}"),
)


def index_buffers(net, names):
    """The index of the bias table that upstream stores beside each table."""
    index = offset_index(net.backbone.window)
    tables = [name for name in names if name.endswith("bias_table")]
    return {name.replace("bias_table", "index"): index for name in tables}


def from_image(net, path, value, shape):
    """A tensor of the 2-D Swin Transformer for the video model."""
    if path.endswith("/kernel") and value.ndim == 4:
        return inflate.kernel(value, shape[0])
    if path.endswith("bias_table"):
        return inflate.bias_table(value, net.backbone.window)
    return value


def from_video(net, path, value, shape):
    """A tensor of a Video Swin whose windows have another length in time."""
    if path.endswith("bias_table"):
        return inflate.bias_table_in_time(value, net.backbone.window)
    return value


def upstream(norm, prefix="backbone.", head="cls_head.fc_cls", adapt=from_video):
    """A table whose upstreams differ in the last norm, the head and a prefix."""
    rows = tuple((prefix + torch, ours) for torch, ours in BACKBONE)
    rows += ((prefix + norm, "backbone/norm"), (head, "head/fc"))
    return Weights(rows, BUFFERS, ORDER, buffers=index_buffers, adapt=adapt)


def torchvision():
    """Return the table of torchvision.models.video.swin3d_*.

    Stages and merges are one list there: "features.2.1.mlp.0.weight" is
    "backbone/stage1_block1/mlp/fc1/kernel", "features.1.norm.bias" is "backbone/merge0/norm/bias".
    """
    rows = [
        ("patch_embed.proj", "backbone/patch_embed"),
        ("patch_embed.norm", "backbone/patch_norm"),
        ("norm", "backbone/norm"),
        ("head", "head/fc"),
    ]
    for s in range(4):
        ours = f"backbone/stage{s}_block{{b}}"
        rows += [
            (f"features.{2 * s}.{{b}}", ours),
            (f"features.{2 * s}.{{b}}.mlp.0", f"{ours}/mlp/fc1"),
            (f"features.{2 * s}.{{b}}.mlp.3", f"{ours}/mlp/fc2"),
        ]
    rows += [(f"features.{2 * s + 1}", f"backbone/merge{s}") for s in range(3)]
    return Weights(tuple(rows), skip=BUFFERS)


WEIGHTS = {
    "mmaction": upstream("norm3"),
    "official": upstream("norm"),
    "torchvision": torchvision(),
    # github.com/microsoft/Swin-Transformer and timm before 0.9, trained on images
    "image": upstream("norm", prefix="", head="head", adapt=from_image),
}
