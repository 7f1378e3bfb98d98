"""Swin Transformer (Liu et al., 2021), https://arxiv.org/abs/2103.14030.

Video Swin whose windows and patches span one frame: it treats every frame alike.
"""

import re

import jax
import jax.numpy as jnp

from jaxvid.config.values import Rate
from jaxvid.layers import heads
from jaxvid.models import swin
from jaxvid.weights.convert import Weights

FRAME = dict(window=(1, 7, 7), patch=(4, 4))
VARIANTS: dict[str, dict] = {
    "test": dict(width=8, depths=(2, 1), heads=(2, 4), window=(1, 2, 2), patch=(4, 4)),
    **{size: swin.VARIANTS[size] | FRAME for size in ("tiny", "small", "base", "large")},
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 3, 32, 32, 3), jnp.float32)}


def backbone(variant, **overrides):
    return swin.Swin(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.0, dtype=jnp.float32, **overrides):
    """Return a classifier of the mean over frames; other arguments are those of `Swin`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights


def merges_first(tensors):
    """Name each merge after the stage that it precedes, as timm does since version 0.9.

    Before, and in the original repository, "layers.0.downsample" follows the stage 0.
    """
    if not any("layers.0.downsample." in name for name in tensors):
        return dict(tensors)

    def later(match):
        return f"layers.{int(match[1]) + 1}.downsample."

    return {re.sub(r"layers\.(\d+)\.downsample\.", later, k): x for k, x in tensors.items()}


# A merge precedes the blocks of its stage, and its norm precedes its linear layer.
ORDER = swin.ORDER.replace("blocks downsample", "downsample blocks")
ORDER = ORDER.replace("reduction norm", "norm reduction")


def timm(prefix: str, head: str) -> Weights:
    """Return the table of the Swin Transformer of timm."""
    # "layers.1.downsample.norm.bias" -> "backbone/merge0/norm/bias"
    merges = ((f"layers.{s + 1}.downsample", f"backbone/merge{s}") for s in range(3))
    rows = (*(row for row in swin.BACKBONE if "downsample" not in row[0]), *merges)
    named = tuple((prefix + torch, ours) for torch, ours in (*rows, ("norm", "backbone/norm")))
    return Weights((*named, (head, "head/fc")), swin.BUFFERS, ORDER, fix=(merges_first, dict))


WEIGHTS = {
    "mmaction": timm("backbone.", "cls_head.fc_cls"),
    "timm": timm("", "head.fc"),
    # github.com/microsoft/Swin-Transformer and timm before 0.9
    "image": swin.upstream("norm", prefix="", head="head", adapt=None),
}
