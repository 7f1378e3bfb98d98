"""Temporal Segment Networks (Wang et al., 2016), https://arxiv.org/abs/1608.00859.

A 2-D network sees one frame of each of several equal parts of the video; the frames share weights
and meet in the mean of their features. The frame axis of the clip counts these parts. The variants
for audio see the log-mel spectrogram of a clip instead.

The network is a ResNet (`variant`), or the backbone of any other family (`backbone`).
"""

import jax
import jax.numpy as jnp

from jaxvid.config.values import Backbone, NonNegative, Rate
from jaxvid.layers import heads, resnet, spectrogram
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=4),
    "test-audio": dict(depths=(1, 2), width=4),
    "r18": resnet.DEPTHS["r18"],
    "r34": resnet.DEPTHS["r34"],
    "r50": resnet.DEPTHS["r50"],
    "r101": resnet.DEPTHS["r101"],
    "r152": resnet.DEPTHS["r152"],
    "mini-audio": dict(depths=(1, 1, 1), width=16, bottleneck=False),
    "r18-audio": resnet.DEPTHS["r18"],
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    if hears(variant):
        return spectrogram.example(32, 32)
    return {"video": jax.ShapeDtypeStruct((2, 3, 32, 32, 3), jnp.float32)}


def hears(variant: str) -> bool:
    """Return whether the input of a variant is a spectrogram."""
    return variant.endswith("-audio")


def network(variant, **overrides):
    """Return the ResNet of a variant."""
    kind = spectrogram.SpectrogramResNet if hears(variant) else resnet.ResNet
    return kind(**{**VARIANTS[variant], **overrides})


def backbone(variant, **overrides):
    return network(variant, **overrides)


def build(
    variant="",
    *,
    num_classes,
    backbone: Backbone = None,
    dropout: Rate = 0.4,
    init_std: NonNegative = 0.01,
    dtype=jnp.float32,
    **overrides,
):
    """Return the recognizer; other arguments are those of `ResNet`.

    Args:
      backbone: A family that computes the features instead of a ResNet, such as
        dict(name="densenet", variant="161"). `variant` and the arguments of `ResNet` are left out.
      dropout: Share of the features that is dropped before the classifier in training.
      init_std: Standard deviation of the classifier's initial weights.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype, init_std=init_std)
    return heads.Recognizer(backbone or network(variant, dtype=dtype, **overrides), head)


WEIGHTS = {
    "mmaction": names.recognizer(names.OPENMMLAB, "cls_head.fc_cls"),
    "torchvision": names.IMAGES,
}
