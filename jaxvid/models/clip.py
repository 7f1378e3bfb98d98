"""CLIP (Radford et al., 2021), https://arxiv.org/abs/2103.00020.

A tower of images and one of texts, whose features are compared. The features of a video are the
mean of those of its frames, each of which the tower sees by itself.

Shapes: b batch, t frames, n tokens, f features of the space that videos and texts share.
"""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Natural
from jaxvid.layers.clip import Scale, TextTower, VisionTower
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import clip

VARIANTS: dict[str, dict] = {
    "test": dict(size=32, patch=16, width=16, depth=2, heads=2, features=8),
    "mini": dict(size=32, patch=8, width=32, depth=2, heads=2, features=32),
    "vitb32": dict(size=224, patch=32),
    "vitb16": dict(size=224, patch=16),
    "vitl14": dict(size=224, patch=14, width=1024, depth=24, heads=16, features=768),
    "vitl14-336": dict(size=336, patch=14, width=1024, depth=24, heads=16, features=768),
}
# Options of the text towers. Their number of output features is that of the vision tower.
TEXT: dict[str, dict] = {
    "test": dict(width=16, depth=2, heads=2, vocabulary=64, length=8),
    "mini": dict(width=32, depth=2, heads=2),
    "vitb32": dict(heads=8),
    "vitb16": dict(heads=8),
    "vitl14": dict(width=768, heads=12),
    "vitl14-336": dict(width=768, heads=12),
}


@dataclass(frozen=True)
class Text:
    """Options of the text tower.

    Attributes:
      width: Channels of the tokens; 0 takes the value of the variant.
      depth: Number of blocks; 0 takes the value of the variant.
      heads: Attention heads; 0 takes the value of the variant.
      vocabulary: Number of token ids; 0 takes the value of the variant.
      length: Largest number of tokens; 0 takes the value of the variant.
    """

    width: Natural = 0
    depth: Natural = 0
    heads: Natural = 0
    vocabulary: Natural = 0
    length: Natural = 0


BY_VARIANT = Text()


class Matched(NamedTuple):
    """Features of videos (b, f) and of texts (..., f), or None without such inputs; float32.

    The learned number `scale` () multiplies the cosines of the features. If each pair is right or
    wrong by itself, as in SigLIP, the learned number `bias` () is added; else it is None.
    """

    video: jax.Array | None
    text: jax.Array | None
    scale: jax.Array
    bias: jax.Array | None = None


class TwoTowers(nn.Module):
    """video (b, t, h, w, 3) and token ids text (..., n) -> Matched; either may be left out.

    Attributes:
      backbone: frame by frame.
      text: of the same features.
      adapter: from features of frames (b, t, f) to those of videos (b, f); None is their mean.
    """

    backbone: nn.Module
    text: TextTower
    adapter: nn.Module | None = None

    @nn.compact
    def __call__(self, video=None, text=None, *, train):
        if video is not None:
            video = self.backbone(video, train=train)[:, :, 0, 0]
            video = video.mean(1) if self.adapter is None else self.adapter(video)
            video = video.astype(jnp.float32)
        if text is not None:
            text = self.text(text).astype(jnp.float32)
        return Matched(video, text, Scale(name="similarity")())


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, a text for each video."""
    size, length = VARIANTS[variant]["size"], TEXT[variant].get("length", TextTower.length)
    return {
        "video": jax.ShapeDtypeStruct((2, 4, size, size, 3), jnp.float32),
        "text": jax.ShapeDtypeStruct((2, length), jnp.int32),
    }


def backbone(variant, **overrides):
    return VisionTower(**{**VARIANTS[variant], **overrides})


def text_tower(variant, text: Text, vision: VisionTower):
    """Return the text tower of a variant, which shares `quick` and `remat` with a vision tower."""
    chosen = {key: value for key, value in asdict(text).items() if value}
    shared: dict[str, Any] = dict(features=vision.features, quick=vision.quick, remat=vision.remat)
    return TextTower(**{**TEXT[variant], **chosen}, **shared, dtype=vision.dtype)


def build(variant, *, text: Text = BY_VARIANT, dtype: Any = jnp.float32, **overrides):
    """Return both towers; other arguments are those of `VisionTower`.

    Args:
      text: Options of the text tower.
    """
    vision = backbone(variant, dtype=dtype, **overrides)
    return TwoTowers(vision, text_tower(variant, text, vision))


# Weights

WEIGHTS = {
    "openai": Weights(clip.towers(), clip.SKIP, clip.ORDER, adapt=clip.adapt),  # open_clip's too
    "transformers": clip.TRANSFORMERS,
}
