"""VideoMAE (Tong et al., 2022), https://arxiv.org/abs/2203.12602.

A plain vision transformer over tubes of 2 x 16 x 16 pixels, pre-trained to restore nine tenths of a
clip from the rest. Positions are fixed waves, keys have no bias, and the mean of the tokens is
normalized before the classifier.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Positive, Rate
from jaxvid.layers import heads
from jaxvid.layers.vit import ViT
from jaxvid.ops.position import sine_cosine
from jaxvid.weights.convert import Table, Weights
from jaxvid.weights.names import fixes

VARIANTS: dict[str, dict] = {
    "test": dict(width=16, depth=2, heads=2, frames=4, size=16, patch=(2, 4, 4)),
    "mini": dict(width=64, depth=4, heads=4, frames=8, size=32, patch=(2, 4, 4)),
    "small": dict(width=384, depth=12, heads=6),
    "base": dict(width=768, depth=12, heads=12),
    "large": dict(width=1024, depth=24, heads=16),
    "huge": dict(width=1280, depth=32, heads=16),
    "giant": dict(width=1408, depth=40, heads=16, patch=(2, 14, 14), mlp_ratio=48 / 11),
}
INIT_STD = 2e-5  # of the classifier, so that training begins with equal scores


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return example_of(backbone(variant))


def example_of(net: ViT) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the inputs of a backbone: clips of the size that its positions are for."""
    return {"video": jax.ShapeDtypeStruct((2, net.frames, net.size, net.size, 3), jnp.float32)}


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
    return recognizer(net, num_classes, dropout, norm_epsilon)


def recognizer(net: ViT, num_classes: int, dropout: float, norm_epsilon: float) -> nn.Module:
    """Return a backbone with the head of VideoMAE; see `build`."""
    head = heads.PoolClassifier(num_classes, dropout, net.dtype, INIT_STD, norm_epsilon)
    return heads.Recognizer(net, head)


# Weights

ORDER = (
    "backbone cls_head pos_embed patch_embed blocks norm1 attn q_bias v_bias qkv proj norm2 mlp"
    " fc1 fc2 norm fc_norm weight bias"
)
BIASES = fixes.joined(("q_bias", "v_bias"), "qkv.bias")  # the keys have none


# What files of the pre-training have and a recognizer does not.
PRETRAINED = ("decoder.*", "encoder_to_decoder.*", "mask_token")


def rows(
    prefix: str, head: str, proj: str = "proj", mlp: tuple[str, str] = ("fc1", "fc2")
) -> Table:
    """Return the rename rows of an upstream of plain vision transformers.

    Args:
      prefix: What precedes the names of the backbone, such as "backbone.".
      head: Name of the classifier.
      proj: Name of the convolution that makes the tokens.
      mlp: Names of the layers of an MLP.
    """
    # "blocks.0.mlp.fc1.weight" -> "backbone/block0/mlp/fc1/kernel"
    found = {
        f"{prefix}patch_embed.{proj}": "backbone/patch_embed",
        f"{prefix}blocks.{{i}}": "backbone/block{i}",
        f"{prefix}blocks.{{i}}.mlp.{mlp[0]}": "backbone/block{i}/mlp/fc1",
        f"{prefix}blocks.{{i}}.mlp.{mlp[1]}": "backbone/block{i}/mlp/fc2",
        f"{prefix}fc_norm": "head/fc_norm",
        head: "head/fc",
    }
    return tuple(found.items())


def position_buffer(net, names) -> dict[str, np.ndarray]:
    """Return the fixed positions, which MMAction2 stores."""
    table = sine_cosine(math.prod(net.backbone.grid), net.backbone.width)
    return {"backbone.pos_embed": table[None]}


# Files on the hub have "q_bias", which version 5 of transformers renames to "query.bias".
HUGGING_FACE_QKV = fixes.chain(
    BIASES,
    fixes.joined(("query.bias", "value.bias"), "qkv.bias"),
    fixes.joined(("query.weight", "key.weight", "value.weight"), "qkv.weight"),
)
HUGGING_FACE_ORDER = (
    "videomae embeddings encoder attention.attention attention.output attention query key value"
    " intermediate output layernorm_before layernorm_after weight bias"
)


def hugging_face_blocks(torch: str, ours: str) -> Table:
    """Return the rename rows of blocks; `torch` and `ours` are what precedes their numbers."""
    # "videomae.encoder.layer.0.intermediate.dense.bias" -> "backbone/block0/mlp/fc1/bias"
    names = {
        "attention.attention.qkv": "attn/qkv",
        "attention.output.dense": "attn/proj",
        "intermediate.dense": "mlp/fc1",
        "output.dense": "mlp/fc2",
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
    }
    return tuple(
        (f"{torch}.{{i}}.{theirs}", f"{ours}/block{{i}}/{name}") for theirs, name in names.items()
    )


def transformers() -> Weights:
    """Return the table of transformers.VideoMAEForVideoClassification."""
    rows = (
        ("videomae.embeddings.patch_embeddings.projection", "backbone/patch_embed"),
        *hugging_face_blocks("videomae.encoder.layer", "backbone"),
        ("fc_norm", "head/fc_norm"),
        ("classifier", "head/fc"),
    )
    skip = ("videomae.layernorm.*", *PRETRAINED)
    return Weights(rows, skip, f"{HUGGING_FACE_ORDER} fc_norm classifier", fix=HUGGING_FACE_QKV)


def mmaction() -> Weights:
    """Return the table of MMAction2, whose detectors normalize the tokens."""
    found = rows("backbone.", "cls_head.fc_cls", "projection", ("layers.0.0", "layers.1"))
    return Weights(
        (*found, ("backbone.norm", "backbone/norm")),
        skip=("backbone.pos_embed",),
        order=ORDER,
        buffers=position_buffer,
        fix=BIASES,
    )


WEIGHTS = {
    "mmaction": mmaction(),
    # github.com/MCG-NJU/VideoMAE; files of the pre-training begin their names with "encoder."
    "official": Weights(rows("", "head"), ("norm.*", *PRETRAINED), ORDER, fix=BIASES),
    "transformers": transformers(),
}
