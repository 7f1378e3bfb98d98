"""C2D, the 2-D baseline of non-local networks (Wang et al., 2018), https://arxiv.org/abs/1711.07971.

A 2-D ResNet on each frame of a clip. The only operation over time is a max-pool after the first
stage; without it, the network is TSN on consecutive frames.
"""

import jax
import jax.numpy as jnp

from jaxvid.config.values import Rate
from jaxvid.layers import heads, resnet
from jaxvid.ops.pooling import max_pool
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=4),
    "r50": resnet.DEPTHS["r50"],
    "r101": resnet.DEPTHS["r101"],
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 4, 32, 32, 3), jnp.float32)}


class C2D(resnet.ResNet):
    """video (b, t, h, w, c) -> features (b, t / 2, h / 32, w / 32, c').

    Attributes:
      pool: Halve the number of frames after the first stage by a max-pool, and do not pad the
        max-pool of the stem, as published. False keeps all frames, and pads as TSN does.
    """

    pool: bool = True

    def first(self, video, train):
        if not self.pool:
            return super().first(video, train)
        return max_pool(self.conv1(video, train=train), (3, 3), (2, 2))

    def enter(self, stage, x):
        return max_pool(x, (2, 1, 1)) if stage == 1 and self.pool else x


def backbone(variant, **overrides):
    return C2D(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `C2D`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


WEIGHTS = {
    "mmaction": names.recognizer(names.OPENMMLAB, "cls_head.fc_cls"),
    "torchvision": names.IMAGES,
}
