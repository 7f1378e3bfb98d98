"""ResNeXt (Xie et al., 2017), https://arxiv.org/abs/1611.05431.

A ResNet whose 3 x 3 convolutions are grouped and wider. It treats every frame alike.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Rate
from jaxvid.layers import heads, resnet
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=4, groups=2, group_width=4),
    "r50-32x4d": dict(depths=(3, 4, 6, 3)),
    "r101-32x4d": dict(depths=(3, 4, 23, 3)),
}


class ResNeXt(resnet.ResNet):
    """video (b, t, h, w, c) -> features (b, t, h / 32, w / 32, c').

    Attributes:
      groups: Number of groups of channels that each 3 x 3 convolution has.
      group_width: Channels of a group in the first stage; each stage doubles them.
    """

    groups: Count = 32
    group_width: Count = 4

    @nn.nowrap
    def block(self, stage, i, kind=resnet.Block, **fields):
        narrow = self.groups * self.group_width * 2**stage
        features = (narrow, narrow, 4 * self.width * 2**stage)
        wide = dict(features=features, groups=self.groups)
        return super().block(stage, i, kind, **{**wide, **fields})


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 3, 32, 32, 3), jnp.float32)}


def backbone(variant, **overrides):
    return ResNeXt(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.0, dtype=jnp.float32, **overrides):
    """Return a classifier of the mean over frames; other arguments are those of `ResNeXt`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# "backbone.layer1.0.downsample.1.bias" -> "backbone/layer1_0/downsample/bn/bias"
OPENMMLAB = tuple((f"backbone.{torch}", ours) for torch, ours in names.TORCHVISION)
WEIGHTS = {
    "mmaction": names.recognizer(OPENMMLAB, "cls_head.fc_cls"),
    "mmpretrain": names.recognizer(OPENMMLAB, "head.fc"),
    "torchvision": names.IMAGES,
}
