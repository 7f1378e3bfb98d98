"""V-JEPA 2 (Assran et al., 2025), https://arxiv.org/abs/2506.09985.

A plain vision transformer for videos. Its tokens have no position table: queries and keys are
rotated by their positions in time, height and width. It is trained without labels: from the
features of visible tokens, a predictor computes those of hidden ones. A classifier for a frozen
encoder pools all tokens by attention.

Shapes: b batch, T H W pixels, t h w tokens, n m tokens of a sequence, c channels, g heads, d
channels of a head.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid.config.values import Count, Natural, Positive, Rate
from jaxvid.errors import UserError
from jaxvid.layers import heads, transformer
from jaxvid.layers.transformer import Mlp, PatchEmbed, Remat, check_heads, norm, normal, remat
from jaxvid.ops.attention import attention
from jaxvid.ops.position import rotate
from jaxvid.weights.names import vjepa2 as names

EPSILON = 1e-6
PATCH = (2, 16, 16)
V21 = dict(paired=True, space=16, modality=True)
VARIANTS: dict[str, dict] = {
    "test": dict(width=16, depth=2, heads=2),
    "vitl": dict(width=1024, depth=24, heads=16),
    "vith": dict(width=1280, depth=32, heads=16),
    "vitg": dict(width=1408, depth=40, heads=22, mlp_ratio=48 / 11),
    # V-JEPA 2.1
    "vitb-21": dict(width=768, depth=12, heads=12, **V21),
    "vitl-21": dict(width=1024, depth=24, heads=16, **V21),
    "vitg-21": dict(width=1408, depth=40, heads=22, mlp_ratio=48 / 11, **V21),
    "vitgg-21": dict(width=1664, depth=48, heads=26, mlp_ratio=64 / 13, **V21),
}


class VJEPA2(nn.Module):
    """The encoder: video (b, T, H, W, 3) of any size -> features (b, t, h, w, c).

    Attributes:
      width: Channels c of the tokens.
      depth: Number of blocks.
      heads: Attention heads.
      mlp_ratio: Channels between the layers of an MLP, as a multiple of `width`.
      drop_path: Probability of skipping a residual branch in the last block in training; it grows
        linearly from 0 in the first.
      clips: Number of equal parts of the video in time that the encoder sees one by one. Their
        features are joined in time, so a classifier sees all of them.
      layers: Numbers of the blocks, from 0, whose features are returned, joined in time. () is the
        last block.
      paired: Rotate both channels of a pair by the same angle, as V-JEPA 2.1 does. V-JEPA 2 does
        not, by a mistake that its weights are trained with.
      space: Scale positions in height and width to a grid of this many tokens, as V-JEPA 2.1 does;
        0 leaves them as they are.
      modality: Add a learned vector to all tokens, as V-JEPA 2.1 does to those of videos.
      remat: Activations that the backward pass computes again, which saves memory and makes
        training slower: False for none, True for those of whole blocks, "dots" for all but the
        results of linear layers.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    width: Count
    depth: Count
    heads: Count
    mlp_ratio: Positive = 4.0
    drop_path: Rate = 0.0
    clips: Count = 1
    layers: tuple[Natural, ...] = ()
    paired: bool = False
    space: Natural = 0
    modality: bool = False
    remat: Remat = False
    dtype: Any = jnp.float32

    stride = PATCH[-1]

    @nn.compact
    def __call__(self, video, *, train):
        if video.shape[1] == 1:  # an image is a clip of two equal frames
            video = jnp.repeat(video, PATCH[0], 1)
        check(video, self.clips, self.layers, self.depth)
        video = rearrange(video, "b (s t) h w c -> (b s) t h w c", s=self.clips)
        embed = partial(PatchEmbed, kernel_init=normal, dtype=self.dtype)
        x = embed(self.width, PATCH, name="patch_embed")(video)
        if self.modality:
            tiny = nn.initializers.normal(1e-6)
            x = x + self.param("video_embedding", tiny, (1, 1, self.width)).astype(self.dtype)
        _, t, h, w, _ = x.shape
        positions = places(np.arange(t * h * w), (h, w), self.space)
        x, found = rearrange(x, "b t h w c -> b (t h w) c"), []
        last, kept = norm("norm", self.dtype, EPSILON), self.layers or (self.depth - 1,)
        for i, rate in enumerate(np.linspace(0, self.drop_path, self.depth)):
            x = remat(Block, self.remat)(
                self.heads,
                mlp_ratio=self.mlp_ratio,
                epsilon=EPSILON,
                drop_path=float(rate),
                paired=self.paired,
                dtype=self.dtype,
                name=f"block{i}",
            )(x, train, positions)
            found += [last(x)] if i in kept else []
        x = jnp.concatenate(found, 1)
        return rearrange(x, "(b s) (t h w) c -> b (s t) h w c", s=self.clips, h=h, w=w)


def check(video, clips, layers, depth):
    """Raise a UserError for a clip that patches do not cover, and for a layer that is not there."""
    (t, h, w), several = video.shape[1:4], f" {clips} joined" if clips > 1 else ""
    if t % (PATCH[0] * clips) or h % PATCH[1] or w % PATCH[2]:
        raise UserError(
            f"V-JEPA 2 takes{several} clips of an even number of frames whose height and width are"
            f" multiples of 16 pixels, and these have {t} frames of {h} x {w} pixels: change"
            " data.recipe.frames, data.recipe.size or model.clips"
        )
    if max(layers, default=0) >= depth:
        raise UserError(f"model.layers={layers}: the blocks of this model are 0 to {depth - 1}")


class Block(transformer.Block):
    """A block whose queries and keys are rotated by the positions (..., n, 3) of the tokens.

    Attributes:
      paired: See `angles`.
    """

    paired: bool = False

    def attend(self, x, train, positions):
        turns = angles(positions, x.shape[-1] // self.heads, self.paired)
        return self.make_attention(transformer.Attention)(x, train, rotary_attention, turns=turns)


def rotary_attention(q, k, v, *, turns, **options):
    """Apply attention to rotated queries and keys; `turns` (..., n, d) are their angles."""
    return attention(rotate(q, turns), rotate(k, turns), v, **options)


def places(index, grid, space=0):
    """Return the positions (..., n, 3) in time, height and width of tokens by their index.

    Args:
      index: (..., n), of tokens that are counted row by row and frame by frame.
      grid: (h, w) tokens of a frame.
      space: Scale height and width to this many tokens; 0 does not.
    """
    h, w = grid
    rows, columns = index // w % h, index % w
    if space:
        rows, columns = (x * ((space - 1) / max(g - 1, 1)) for x, g in ((rows, h), (columns, w)))
    return jnp.stack([jnp.asarray(x, jnp.float32) for x in (index // (h * w), rows, columns)], -1)


def angles(positions, d, paired):
    """Return the angles (..., n, d) of the channels of a head.

    Time, height and width have a third of the channels each, and the rest is not rotated. V-JEPA 2
    repeats the list of frequencies, and not each of them (`paired`). So the channels of a pair have
    different angles.
    """
    size = d // 6  # frequencies of an axis
    frequencies = 10000 ** (-np.arange(size) / size)
    frequencies = np.repeat(frequencies, 2) if paired else np.tile(frequencies, 2)
    turns = positions[..., None] * jnp.asarray(frequencies, jnp.float32)
    turns = turns.reshape(*turns.shape[:-2], 6 * size)
    return jnp.pad(turns, [(0, 0)] * (turns.ndim - 1) + [(0, d - 6 * size)])


class Predictor(nn.Module):
    """Features of hidden tokens from those of visible ones, as in pre-training.

    Attributes:
      features: Channels c of the encoder's features, 1024 for ViT-L.
      width: Channels of the tokens in the predictor.
      depth: Number of blocks.
      heads: Attention heads.
      tokens: Number of learned vectors that can stand for hidden tokens.
      remat: As in `VJEPA2`.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    features: Count = 1024
    width: Count = 384
    depth: Count = 12
    heads: Count = 12
    tokens: Count = 10
    remat: Remat = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, context, target, *, grid, train, token=1):
        """Predict the features (b, m, c) of the tokens `target`, in their order.

        Args:
          x: Features (b, n, c) of the tokens `context`.
          context: Indices int (b, n) of visible tokens, counted row by row and frame by frame.
          target: Indices int (b, m) of hidden tokens.
          grid: (h, w) tokens of a frame.
          train: Has no effect: there is no dropout.
          token: Which of the learned vectors stands for hidden tokens.
        """
        linear = partial(nn.Dense, dtype=self.dtype, kernel_init=normal)
        hidden = self.param("mask_tokens", nn.initializers.zeros, (self.tokens, 1, 1, self.width))
        hidden = jnp.broadcast_to(hidden[token].astype(self.dtype), (*target.shape, self.width))
        # The order of the tokens has no effect, as attention knows their positions.
        y = jnp.concatenate([linear(self.width, name="embed")(x), hidden], 1)
        positions = places(jnp.concatenate([context, target], 1), grid)
        for i in range(self.depth):
            block = partial(remat(Block, self.remat), epsilon=EPSILON, dtype=self.dtype)
            y = block(self.heads, name=f"block{i}")(y, train, positions)
        y = norm("norm", self.dtype, EPSILON)(y[:, context.shape[1] :])
        return linear(self.features, name="proj")(y)


class AttentiveClassifier(nn.Module):
    """Attention among all tokens, then of a learned query to them, then a linear classifier.

    Attributes:
      num_classes: Number of classes.
      heads: Attention heads.
      depth: Number of blocks before the query.
      remat: As in `VJEPA2`.
      dtype: compute dtype; the result is float32.
    """

    num_classes: int
    heads: int
    depth: int = 3
    remat: Remat = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, h, w, c) -> (b, classes)
        x = rearrange(x, "b ... c -> b (...) c")
        options: dict[str, Any] = dict(epsilon=EPSILON, dtype=self.dtype)
        for i in range(self.depth):
            block = remat(transformer.Block, self.remat)(self.heads, **options, name=f"block{i}")
            x = block(x, train)
        x = AttentionPool(self.heads, self.dtype, name="pool")(x)
        x = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=normal, name="fc")(x)
        return x.astype(jnp.float32)


class AttentionPool(nn.Module):
    """A block whose only query is learned: tokens (b, n, c) -> (b, c).

    The query is not normalized, and no linear layer follows the attention.
    """

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        c = x.shape[-1]
        check_heads(c, self.heads)
        linear = partial(nn.Dense, dtype=self.dtype, kernel_init=normal)
        query = self.param("query", normal, (1, 1, c)).astype(self.dtype)
        query = jnp.broadcast_to(query, (len(x), 1, c))
        q = rearrange(linear(c, name="q")(query), "b n (g d) -> b n g d", g=self.heads)
        kv = linear(2 * c, name="kv")(norm("norm1", self.dtype, EPSILON)(x))
        k, v = rearrange(kv, "b n (s g d) -> s b n g d", s=2, g=self.heads)
        x = query + rearrange(attention(q, k, v), "b n g d -> b n (g d)")
        x = x + Mlp(dtype=self.dtype, name="mlp")(norm("norm2", self.dtype, EPSILON)(x))
        return x[:, 0]


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 8, 32, 32, 3), jnp.float32)}


def backbone(variant, **overrides):
    return VJEPA2(**{**VARIANTS[variant], **overrides})


def build(
    variant,
    *,
    num_classes,
    pool_heads: Natural = 0,
    pool_depth: Natural = 3,
    dtype: Any = jnp.float32,
    **overrides,
):
    """Return the recognizer; other arguments are those of `VJEPA2`.

    Args:
      pool_heads: Attention heads of the classifier; 0 is as many as the encoder has. The published
        classifiers were trained with 16.
      pool_depth: Number of blocks of the classifier before its query.
    """
    encoder = backbone(variant, dtype=dtype, **overrides)
    options = pool_heads or encoder.heads, pool_depth, encoder.remat, dtype
    return heads.Recognizer(encoder, AttentiveClassifier(num_classes, *options))


# Weights

WEIGHTS = {
    "transformers": names.transformers("vjepa2."),
    "pretrained": names.transformers(),
    "official": names.OFFICIAL,
}
