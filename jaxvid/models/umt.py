"""Unmasked Teacher (Li et al., 2023), https://arxiv.org/abs/2303.16058.

The transformer of VideoMAE on patches of single frames, pre-trained so that its visible tokens are
like those of CLIP. Eight frames, spread over the video, have as many tokens as sixteen in VideoMAE.
"""

import jax.numpy as jnp

from jaxvid.config.values import Positive, Rate
from jaxvid.layers.vit import ViT
from jaxvid.models import videomae
from jaxvid.weights.convert import Weights

VARIANTS: dict[str, dict] = {
    "test": dict(width=16, depth=2, heads=2, frames=4, size=16, patch=(1, 4, 4)),
    "base": dict(width=768, depth=12, heads=12, frames=8, patch=(1, 16, 16)),
    "large": dict(width=1024, depth=24, heads=16, frames=8, patch=(1, 16, 16)),
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return videomae.example_of(backbone(variant))


def backbone(variant, **overrides):
    return ViT(**{**VARIANTS[variant], **overrides})


def build(
    variant,
    *,
    num_classes,
    dropout: Rate = 0.0,
    norm_epsilon: Positive = 1e-6,
    dtype=jnp.float32,
    **overrides,
):
    """Return the recognizer; other arguments are those of `ViT`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
      norm_epsilon: Number that the normalization before the classifier adds to the variance.
    """
    net = backbone(variant, dtype=dtype, **overrides)
    return videomae.recognizer(net, num_classes, dropout, norm_epsilon)


# "backbone.blocks.0.mlp.fc1.weight" -> "backbone/block0/mlp/fc1/kernel"
WEIGHTS = {
    "mmaction": Weights(
        videomae.rows("backbone.", "cls_head.fc_cls"), order=videomae.ORDER, fix=videomae.BIASES
    ),
    "official": videomae.WEIGHTS["official"],
}
