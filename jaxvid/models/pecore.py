"""PE-Core (Bolya et al., 2025), https://arxiv.org/abs/2504.13181: Perception Encoder with texts.

The image tower of `models/pe.py` and a text tower of CLIP, whose features are compared. The
features of a video are the mean of those of its frames.

Shapes: b batch, t frames, c channels, f features of the space that videos and texts share.
"""

from dataclasses import asdict
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count
from jaxvid.layers.clip import TextTower
from jaxvid.models import pe
from jaxvid.models.clip import BY_VARIANT, Text, TwoTowers
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import clip as names
from jaxvid.weights.names import fixes
from jaxvid.weights.names import pe as images

VARIANTS: dict[str, dict] = {
    "test": dict(pe.VARIANTS["test"], features=8),
    "t16": dict(pe.VARIANTS["t16"], features=512),
    "s16": dict(pe.VARIANTS["s16"], features=512),
    "b16": dict(pe.VARIANTS["b16"], features=1024),
    "l14": dict(pe.VARIANTS["l14"], features=1024),
    "g14": dict(pe.VARIANTS["g14"], features=1280),
}
# Options of the text towers. Their number of output features is that of the image tower.
SMALL, LARGE = dict(width=512, depth=12, heads=8), dict(width=1024, depth=24, heads=16)
TEXT: dict[str, dict] = {
    "test": dict(width=16, depth=2, heads=2, vocabulary=64, length=8),
    "t16": dict(SMALL, length=32),
    "s16": dict(SMALL, length=32),
    "b16": dict(LARGE, length=32),
    "l14": dict(LARGE, length=32),
    "g14": dict(width=1280, depth=24, heads=20, length=72),
}


class ImageTower(pe.PE):
    """Each frame by itself: video (b, t, h, w, 3) -> (b, t, 1, 1, f), a map of one place.

    Attributes:
      features: Number of channels f of the output features.
    """

    features: Count = 1024

    @nn.compact
    def __call__(self, video, *, train):
        scaled = nn.initializers.normal(self.width**-0.5)
        proj = self.param("proj", scaled, (self.width, self.features))
        return self.pooled(video, train) @ proj.astype(self.dtype)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, a text for each video."""
    text = jax.ShapeDtypeStruct((2, TEXT[variant]["length"]), jnp.int32)
    return {**pe.example(variant), "text": text}


def backbone(variant, **overrides):
    return ImageTower(**{**VARIANTS[variant], **overrides})


def build(variant, *, text: Text = BY_VARIANT, dtype: Any = jnp.float32, **overrides):
    """Return both towers; other arguments are those of `PE` and `features`.

    Args:
      text: Options of the text tower.
    """
    images = backbone(variant, dtype=dtype, **overrides)
    chosen = {key: value for key, value in asdict(text).items() if value}
    shared: dict[str, Any] = dict(features=images.features, remat=images.remat, dtype=dtype)
    return TwoTowers(images, TextTower(**{**TEXT[variant], **chosen}, quick=False, **shared))


# Weights

# "visual.attn_pool.layernorm.bias" -> "backbone/attn_pool/norm/bias"
ROWS = (
    *names.towers(),
    ("visual.class_embedding", "backbone/cls_token"),
    ("visual.positional_embedding", "backbone/pos_embed/table"),
    ("visual.attn_pool.probe", "backbone/attn_pool/latent"),
    ("visual.attn_pool.layernorm", "backbone/attn_pool/norm"),
    ("visual.attn_pool.mlp.c_fc", "backbone/attn_pool/mlp/fc1"),
    ("visual.attn_pool.mlp.c_proj", "backbone/attn_pool/mlp/fc2"),
    ("visual.attn_pool.attn.out_proj", "backbone/attn_pool/attn/proj"),
)
POOL = r"visual\.attn_pool\.attn\.in_proj_"
WEIGHTS = {
    "official": Weights(
        ROWS,
        names.SKIP,
        adapt=images.adapt,
        fix=fixes.chain(
            fixes.parted(f"{POOL}weight", "in_proj_weight", {"q.weight": 1, "kv.weight": 2}),
            fixes.parted(f"{POOL}bias", "in_proj_bias", {"q.bias": 1, "kv.bias": 2}),
            fixes.each(r"visual\.class_embedding", lambda x: x[None], lambda x: x[0]),
            fixes.without_batch(r"visual\.attn_pool\.probe"),
        ),
    )
}
