"""ActionCLIP (Wang et al., 2021), https://arxiv.org/abs/2109.08472.

CLIP for videos: a small transformer over time joins what it makes of the frames, and classes are
texts, "a video of someone swimming".

Shapes: b batch, t frames, f features of the space that videos and texts share.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Count
from jaxvid.errors import UserError
from jaxvid.layers.clip import Transformer, normal
from jaxvid.models import clip
from jaxvid.models.clip import BY_VARIANT, Text, TwoTowers, backbone, example
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import clip as names

VARIANTS = clip.VARIANTS

__all__ = ["VARIANTS", "WEIGHTS", "backbone", "build", "example"]


class Adapter(Transformer):
    """Joins features of frames (b, t, f) to those of their video (b, f).

    It is the mean of the frames after a transformer over time, with a shortcut around it.

    Attributes:
      frames: Largest number of frames t.
    """

    frames: int = 8

    @nn.compact
    def __call__(self, x):
        t, f = x.shape[1:]
        if t > self.frames:
            raise UserError(
                f"the adapter is for {self.frames} frames, not {t}: set model.frames to"
                " data.recipe.frames"
            )
        positions = nn.Embed(
            self.frames,
            f,
            dtype=self.dtype,
            embedding_init=normal,
            name="frame_position_embeddings",
        )
        return (x + self.blocks(x + positions(np.arange(t)))).mean(1)


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
