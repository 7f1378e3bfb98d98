"""ViViT (Arnab et al., 2021), https://arxiv.org/abs/2103.15691.

The model without factorization: all patches of a clip, which span two frames, attend to each other.

Shapes: b batch, t h w grid of tokens, c channels.
"""

import math
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid.config.values import Count, Rate
from jaxvid.layers import heads
from jaxvid.layers.position import PositionTable, check_clip
from jaxvid.layers.transformer import Block, PatchEmbed, Remat, norm, normal, remat, tanh_gelu
from jaxvid.weights import inflate
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import fixes, timesformer

VARIANTS: dict[str, dict] = {
    "test": dict(width=16, depth=2, heads=2, patch=(2, 8, 8), frames=6, size=32),
    "base": {},
    "large": dict(width=1024, depth=24, heads=16),
}
EPSILON = 1e-6


class ViViT(nn.Module):
    """video (b, T, H, W, 3) -> the class token (b, 1, 1, 1, c), a map of one place.

    Attributes:
      width: Channels of the tokens.
      depth: Number of blocks.
      heads: Attention heads.
      patch: Pixels that a token spans in time, height and width.
      frames: Number of frames of a clip.
      size: Height and width of the frames, in pixels.
      drop_path: Probability of skipping a residual branch in the last block in training; it grows
        linearly from 0 in the first.
      remat: Activations that the backward pass computes again, which saves memory and makes
        training slower: False for none, True for those of whole blocks, "dots" for all but the
        results of linear layers.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    width: Count = 768
    depth: Count = 12
    heads: Count = 12
    patch: tuple[Count, Count, Count] = (2, 16, 16)
    frames: Count = 32
    size: Count = 224
    drop_path: Rate = 0.0
    remat: Remat = False
    dtype: Any = jnp.float32

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens of a clip in time, height and width."""
        a, i, j = self.patch
        return self.frames // a, self.size // i, self.size // j

    @nn.compact
    def __call__(self, video, *, train):
        check_clip(video, self.size, self.frames)
        x = PatchEmbed(self.width, self.patch, dtype=self.dtype, name="patch_embed")(video)
        x = rearrange(x, "b t h w c -> b (t h w) c")
        first = self.param("class_token", normal, (1, self.width)).astype(self.dtype)
        first = jnp.broadcast_to(first, (len(x), 1, self.width))
        table = PositionTable(self.grid, self.width, first=1, dtype=self.dtype, name="pos_embed")
        x = jnp.concatenate([first, x], 1) + table()
        block = remat(Block, self.remat)
        options: dict[str, Any] = dict(activation=tanh_gelu, epsilon=EPSILON, dtype=self.dtype)
        for i, rate in enumerate(np.linspace(0, self.drop_path, self.depth)):
            x = block(self.heads, **options, drop_path=float(rate), name=f"block{i}")(x, train)
        return norm("norm", self.dtype, EPSILON)(x)[:, None, None, :1]


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    net = backbone(variant)
    return {"video": jax.ShapeDtypeStruct((2, net.frames, net.size, net.size, 3), jnp.float32)}


def backbone(variant, **overrides):
    return ViViT(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.0, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `ViViT`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype, init_std=0.02)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights

# "vivit.layers.0.attention.o_proj.bias" -> "backbone/block0/attn/proj/bias"
LAYER, BLOCK = "vivit.layers.{i}", "backbone/block{i}"
ROWS = (
    ("vivit.embeddings.cls_token", "backbone/class_token"),
    ("vivit.embeddings.position_embeddings", "backbone/pos_embed/table"),
    ("vivit.embeddings.patch_embeddings.projection", "backbone/patch_embed"),
    ("vivit.layernorm", "backbone/norm"),
    ("classifier", "head/fc"),
    (f"{LAYER}.layernorm_before", f"{BLOCK}/norm1"),
    (f"{LAYER}.layernorm_after", f"{BLOCK}/norm2"),
    (f"{LAYER}.attention.qkv", f"{BLOCK}/attn/qkv"),
    (f"{LAYER}.attention.o_proj", f"{BLOCK}/attn/proj"),
    (f"{LAYER}.mlp", f"{BLOCK}/mlp"),
)
# Names before version 5 of transformers, which the files on the hub have, and those since.
RENAMED = (
    (r"encoder\.layer\.", "layers."),
    (r"attention\.attention\.query", "attention.q_proj"),
    (r"attention\.attention\.key", "attention.k_proj"),
    (r"attention\.attention\.value", "attention.v_proj"),
    (r"attention\.output\.dense", "attention.o_proj"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"output\.dense", "mlp.fc2"),
    (r"^(?=(embeddings|layers|layernorm)\.)", "vivit."),  # models without a classifier
)


def resize(net, path, value, shape):
    """Resize the position table for other frames and pixels, or for a clip (`Weights.adapt`)."""
    if path.endswith("patch_embed/kernel") and value.ndim == 4:
        return inflate.middle_kernel(value, shape[0])
    if not path.endswith("pos_embed/table"):
        return value
    size = PUBLISHED if len(value) > 1 + math.prod(IMAGE) else IMAGE
    return inflate.position_table(value, net.backbone.grid, size, first=1)


PUBLISHED, IMAGE = (16, 14, 14), (1, 14, 14)  # grids of files
ORDER = (
    "vivit classifier embeddings layers layernorm cls_token position_embeddings patch_embeddings"
    " attention layernorm_before layernorm_after mlp q_proj k_proj v_proj o_proj fc1 fc2"
    " weight bias"
)
FIX = fixes.chain(
    fixes.renamed(RENAMED),
    fixes.joined(("q_proj", "k_proj", "v_proj"), "qkv"),
    fixes.without_batch(r".*\.(cls_token|position_embeddings)"),
)
WEIGHTS = {
    "transformers": Weights(ROWS, order=ORDER, adapt=resize, fix=FIX),
    # models of images in MMAction2, to start from
    "mmaction": replace(timesformer.MMACTION, adapt=resize, fix=timesformer.TABLES),
}
