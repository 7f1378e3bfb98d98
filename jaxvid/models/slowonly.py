"""The slow pathway of SlowFast alone (Feichtenhofer et al., 2019), https://arxiv.org/abs/1812.03982.

A 3-D ResNet that sees few frames, far apart, and convolves over time in its last two stages only;
optionally with non-local layers.
"""

import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Rate
from jaxvid.layers import heads, non_local, resnet
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=4, time=(1, 3)),
    "r50": resnet.DEPTHS["r50"],
    "r101": resnet.DEPTHS["r101"],
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 4, 32, 32, 3), jnp.float32)}


class SlowOnly(non_local.NonLocalResNet):
    """video (b, t, h, w, c) -> features (b, t, h / 32, w / 32, c')."""

    stem: tuple[Count, ...] = (1, 7, 7)
    time: tuple[Count, ...] = (1, 1, 3, 3)
    zero_init: bool = True


def backbone(variant, **overrides):
    return SlowOnly(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `SlowOnly`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


WEIGHTS = {
    "mmaction": names.recognizer((*names.OPENMMLAB, *names.non_local()), "cls_head.fc_cls"),
    "torchvision": names.IMAGES,
}
