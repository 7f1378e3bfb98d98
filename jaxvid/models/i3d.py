"""Inflated 3-D networks (Carreira & Zisserman, 2017), https://arxiv.org/abs/1705.07750.

A ResNet whose kernels span time in some of its blocks, which starts from the kernels of an image
network, as in https://arxiv.org/abs/1711.07971; optionally with non-local layers.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Natural, Rate
from jaxvid.layers import heads, non_local, resnet
from jaxvid.layers.conv import ConvNorm
from jaxvid.ops.pooling import max_pool
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=4),
    "r50": resnet.DEPTHS["r50"],
    "r101": resnet.DEPTHS["r101"],
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 16, 32, 32, 3), jnp.float32)}


class I3D(non_local.NonLocalResNet):
    """video (b, t, h, w, c) -> features (b, t / 8, h / 32, w / 32, c').

    Attributes:
      time: Temporal kernel size of the first convolution in the inflated blocks of each stage.
      heavy: Inflate every block, and keep all frames in the stem: the features have t / 2 frames.
        False inflates every block of the first stage, and every second block of the others.
    """

    stem: tuple[Count, ...] = (5, 7, 7)
    time: tuple[Count, ...] = (3, 3, 3, 3)
    non_local_blocks: tuple[tuple[Natural, ...], ...] = ((), (1, 3), (1, 3, 5), ())
    heavy: bool = False

    @nn.nowrap
    def stem_conv(self):
        strides = (1 if self.heavy else 2, 2, 2)
        return ConvNorm(self.width, self.stem, strides, norm=self.norm, dtype=self.dtype)

    def first(self, video, train):
        strides = (1 if self.heavy else 2, 2, 2)
        return max_pool(self.conv1(video, train=train), (1, 3, 3), strides, (0, 1, 1))

    def enter(self, stage, x):
        return max_pool(x, (2, 1, 1)) if stage == 1 else x

    def kernels(self, stage, i):
        first, *others = super().kernels(stage, i)
        return (first if self.inflated(stage, i) else (1, *first[1:])), *others

    def inflated(self, stage: int, i: int) -> bool:
        """Return whether block `i` of a stage, both from 0, convolves over time."""
        return self.heavy or stage == 0 or i % 2 == (stage == 3)


def backbone(variant, **overrides):
    return I3D(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `I3D`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


WEIGHTS = {
    "mmaction": names.recognizer((*names.OPENMMLAB, *names.non_local()), "cls_head.fc_cls"),
    "torchvision": names.IMAGES,
}
