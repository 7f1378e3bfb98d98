"""Names of the tensors of TimeSformer in published files, and of the models of images below it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxvid.weights import inflate
from jaxvid.weights.convert import Fix, Table, Weights
from jaxvid.weights.names import fixes

BLOCK = "backbone/block{i}"
ORDER = (
    "backbone cls_head cls_token pos_embed time_embed patch_embed projection layers"
    " norm transformer_layers attentions attn temporal_fc in_proj_weight in_proj_bias out_proj"
    " ffns norms weight bias"
)


def resize(net: Any, path: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resize position tables for other frames and pixels (`Weights.adapt`)."""
    net = net.backbone
    if path.endswith("time_embed/table"):
        return inflate.position_embedding(value, (len(value), 1, 1), (net.frames, 1, 1))
    if path.endswith("pos_embed/table"):
        old, new = math.isqrt(len(value) - 1), net.size // net.patch
        return inflate.position_embedding(value, (1, old, old), (1, new, new))
    return value


def attention_rows(torch: str, ours: str) -> Table:
    """Return the rename rows of torch.nn.MultiheadAttention."""
    parts = {"in_proj_weight": "qkv/weight", "in_proj_bias": "qkv/bias", "out_proj": "proj"}
    return tuple((f"{torch}.attn.{theirs}", f"{ours}/{name}") for theirs, name in parts.items())


# The norms of a divided block are inside of its branches.
PLAIN = (("norms.0", "norm1"), ("norms.1", "norm2"), *attention_rows("attentions.0", "attn"))
DIVIDED = (
    ("attentions.0.norm", "time_norm"),
    ("attentions.0.temporal_fc", "time_fc"),
    ("attentions.1.norm", "norm1"),
    ("ffns.0.norm", "norm2"),
    *attention_rows("attentions.0", "time_attn"),
    *attention_rows("attentions.1", "attn"),
)


def openmmlab(net: Any) -> Table:
    """Return the rename rows of MMAction2, also for models of the same blocks as joint attention.

    "backbone.transformer_layers.layers.0.attentions.0.attn.out_proj.bias" ->
    "backbone/block0/attn/proj/bias"
    """
    rows = PLAIN if getattr(net.backbone, "attention", "joint") != "divided" else DIVIDED
    rows += ("ffns.0.layers.0.0", "mlp/fc1"), ("ffns.0.layers.1", "mlp/fc2")
    return (
        ("backbone", "backbone"),
        ("backbone.cls_token", "backbone/class_token"),
        ("backbone.pos_embed", "backbone/pos_embed/table"),
        ("backbone.time_embed", "backbone/time_embed/table"),
        ("backbone.patch_embed.projection", "backbone/patch_embed"),
        ("cls_head.fc_cls", "head/fc"),
        *((f"backbone.transformer_layers.layers.{{i}}.{t}", f"{BLOCK}/{name}") for t, name in rows),
    )


# "timesformer.encoder.layer.0.intermediate.dense.bias" -> "backbone/block0/mlp/fc1/bias"
LAYER = "timesformer.encoder.layer.{i}"
HUGGING_FACE = (
    ("timesformer.embeddings.cls_token", "backbone/class_token"),
    ("timesformer.embeddings.position_embeddings", "backbone/pos_embed/table"),
    ("timesformer.embeddings.time_embeddings", "backbone/time_embed/table"),
    ("timesformer.embeddings.patch_embeddings.projection", "backbone/patch_embed"),
    ("timesformer.layernorm", "backbone/norm"),
    ("classifier", "head/fc"),
    (f"{LAYER}.layernorm_before", f"{BLOCK}/norm1"),
    (f"{LAYER}.layernorm_after", f"{BLOCK}/norm2"),
    (f"{LAYER}.attention.attention.qkv", f"{BLOCK}/attn/qkv"),
    (f"{LAYER}.attention.output.dense", f"{BLOCK}/attn/proj"),
    (f"{LAYER}.intermediate.dense", f"{BLOCK}/mlp/fc1"),
    (f"{LAYER}.output.dense", f"{BLOCK}/mlp/fc2"),
    (f"{LAYER}.temporal_layernorm", f"{BLOCK}/time_norm"),
    (f"{LAYER}.temporal_attention.attention.qkv", f"{BLOCK}/time_attn/qkv"),
    (f"{LAYER}.temporal_attention.output.dense", f"{BLOCK}/time_attn/proj"),
    (f"{LAYER}.temporal_dense", f"{BLOCK}/time_fc"),
)
HUGGING_FACE_ORDER = (
    "timesformer classifier embeddings encoder layernorm cls_token position_embeddings"
    " time_embeddings patch_embeddings attention intermediate output layernorm_before"
    " layernorm_after temporal_layernorm temporal_attention temporal_dense weight bias"
)
# github.com/facebookresearch/TimeSformer: "blocks.0.temporal_attn.qkv.bias" ->
# "backbone/block0/time_attn/qkv/bias"
OFFICIAL = (
    ("cls_token", "backbone/class_token"),
    ("pos_embed", "backbone/pos_embed/table"),
    ("time_embed", "backbone/time_embed/table"),
    ("patch_embed.proj", "backbone/patch_embed"),
    ("norm", "backbone/norm"),
    ("head", "head/fc"),
    ("blocks.{i}", BLOCK),
    ("blocks.{i}.temporal_norm1", f"{BLOCK}/time_norm"),
    ("blocks.{i}.temporal_attn", f"{BLOCK}/time_attn"),
    ("blocks.{i}.temporal_fc", f"{BLOCK}/time_fc"),
)
TABLES = fixes.without_batch(r"(.*\.)?(cls_token|(pos|time)_embed|(position|time)_embeddings)")


def from_image(net: Any) -> Fix:
    """Copy the attention of a model of images, or of space, to both attentions of divided blocks.

    Such a file has one attention in each block; MMAction2 starts divided blocks so.
    """

    def copied(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if any(".attentions.1." in name for name in tensors):
            return dict(tensors)
        found = {}
        for name, value in tensors.items():
            name = name.replace(".norms.0.", ".attentions.0.norm.")
            name = name.replace(".norms.1.", ".ffns.0.norm.")
            found |= {name: value, name.replace(".attentions.0.", ".attentions.1."): value}
        return found

    divided = net is not None and net.backbone.attention == "divided"
    return fixes.chain(TABLES, (copied, dict)) if divided else TABLES


# The heads of models of images are for other classes.
MMACTION = Weights(openmmlab, skip=("backbone.head.*",), order=ORDER, adapt=resize, fix=from_image)
WEIGHTS = {
    "mmaction": MMACTION,
    "transformers": Weights(HUGGING_FACE, order=HUGGING_FACE_ORDER, adapt=resize, fix=TABLES),
    "official": Weights(OFFICIAL, adapt=resize, fix=TABLES),
}
