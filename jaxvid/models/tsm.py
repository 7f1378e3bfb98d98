"""Temporal Shift Module (Lin et al., 2019), https://arxiv.org/abs/1811.08383.

A 2-D ResNet in which, before each block, an eighth of the channels moves one frame back and another
eighth one frame forth: frames exchange features at no cost.
"""

import jax
import jax.numpy as jnp

from jaxvid.ckpt import inflate
from jaxvid.ckpt.convert import Weights
from jaxvid.config.values import Rate
from jaxvid.layers import heads, resnet
from jaxvid.models import tsn

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=4),
    "r50": resnet.DEPTHS["r50"],
    "r101": resnet.DEPTHS["r101"],
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 4, 32, 32, 3), jnp.float32)}


def backbone(variant, *, shift=8, **overrides):
    """`pool_time=(3, 2, 1)` is the published option to halve the frames after the first stage."""
    return resnet.ResNet(**{**VARIANTS[variant], "shift": shift, **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recogniser; other arguments are those of `ResNet`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype, each_frame=True, init_std=0.001)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


def openmmlab(net):
    """There, what is added wraps what was there: shifts, non-local blocks, pooling over time."""
    rows = [*resnet.OPENMMLAB, ("cls_head.fc_cls", "head/fc")]
    for s, depth in enumerate(net.backbone.depths):
        for b in range(depth):
            wrapped = ".net" if s == 1 and net.backbone.pool_time else ""
            torch, ours = f"backbone.layer{s + 1}{wrapped}.{b}", f"backbone/layer{s + 1}_{b}"
            if net.backbone.gathers(s, b):
                rows += resnet.non_local(torch, ours)
                torch += ".block"
            rows.append((torch, ours))
            if net.backbone.shifted(s, b):
                rows.append((f"{torch}.conv1.conv.net", f"{ours}/conv1/conv"))
    return tuple(rows)


WEIGHTS = {
    "mmaction": Weights(openmmlab, resnet.BUFFERS, resnet.ORDER, adapt=inflate.kernels),
    # a TSN, or an image network, to start from
    "tsn": tsn.WEIGHTS["mmaction"],
    "torchvision": tsn.WEIGHTS["torchvision"],
}
