"""ActionCLIP (Wang et al., 2021), https://arxiv.org/abs/2109.08472.

CLIP for videos: a small transformer over time joins what it makes of the frames, and classes are
texts, "a video of someone swimming".

Shapes: b batch, t frames, f features of the space that videos and texts share.
"""

from typing import Any

import jax.numpy as jnp

from jaxvid.config.values import Count
from jaxvid.layers.clip import Adapter
from jaxvid.models import clip
from jaxvid.models.clip import BY_VARIANT, Text, TwoTowers, backbone, example
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import clip as names

VARIANTS = clip.VARIANTS

__all__ = ["VARIANTS", "WEIGHTS", "backbone", "build", "example"]


def build(
    variant,
    *,
    frames: Count = 8,
    layers: Count = 6,
    text: Text = BY_VARIANT,
    dtype: Any = jnp.float32,
    **overrides,
):
    """Return both towers and the adapter; other arguments are those of `VisionTower`.

    Args:
      frames: Largest number of frames of a video.
      layers: Blocks of the adapter, which joins the features of frames.
      text: Options of the text tower.
    """
    vision = backbone(variant, dtype=dtype, **overrides)
    tower = clip.text_tower(variant, text, vision)
    shared: dict[str, Any] = dict(quick=vision.quick, remat=vision.remat, dtype=dtype)
    return TwoTowers(vision, tower, Adapter(layers, tower.heads, **shared, frames=frames))


# Weights

# "adapter.transformer.resblocks.0.ln_1.bias" -> "adapter/block0/norm1/bias"
ROWS = (*names.blocks("adapter.transformer", "adapter"), ("adapter", "adapter"))
WEIGHTS = {
    "mmaction": Weights((*names.towers("clip."), *ROWS), order=names.ORDER, adapt=names.adapt)
}
