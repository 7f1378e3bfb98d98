"""Names of the tensors of the Perception Encoder in published files."""

import math
from typing import Any

import numpy as np

from jaxvid.weights import inflate
from jaxvid.weights.convert import Table, Weights
from jaxvid.weights.names import fixes

ORDER = (
    "cls_token pos_embed patch_embed norm_pre blocks norm1 attn qkv norm2 norm attn_pool latent q"
    " kv proj attn_pool.norm mlp fc1 fc2 head weight bias"
)


def tower(ours: str) -> Table:
    """Return the rename rows of an image tower, the module `ours`."""
    # "attn_pool.kv.weight" -> "backbone/attn_pool/attn/kv/kernel"
    same = ("cls_token", "patch_embed.proj", "norm_pre", "norm", "attn_pool")
    return (
        *((name, f"{ours}/{name.removesuffix('.proj')}") for name in same),
        ("pos_embed", f"{ours}/pos_embed/table"),
        ("blocks.{i}", f"{ours}/block{{i}}"),
        *((f"attn_pool.{part}", f"{ours}/attn_pool/attn/{part}") for part in ("q", "kv", "proj")),
    )


def adapt(net: Any, path: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resize the table of positions for frames of another size (`Weights.adapt`)."""
    if path.endswith("pos_embed/table"):
        first = int(math.isqrt(len(value)) ** 2 != len(value))  # a class token
        old, new = (math.isqrt(rows - first) for rows in (len(value), shape[0]))
        return inflate.position_embedding(value, (1, old, old), (1, new, new))
    return value


TIMM = Weights(
    (*tower("backbone"), ("head", "head/fc")),
    order=ORDER,
    adapt=adapt,
    fix=fixes.without_batch(r"cls_token|pos_embed|attn_pool\.latent"),
)


# Videos and texts

FRAMES, CLIP = "video_encoder.embedder.vision_model.timm_model", "video_encoder"
RESNET = f"{CLIP}.patch_embedder.resnet_block"
# "video_encoder.layers.0.mlp.gate_up.weight" -> "backbone/block0/fc1/kernel"
VIDEO_ROWS = (
    *((f"{FRAMES}.{torch}", f"backbone/{ours}") for torch, ours in tower("frames")),
    (f"{FRAMES}.head", "backbone/head"),
    (f"{CLIP}.embedder.proj", "backbone/embed"),
    (f"{CLIP}.embedder.data_proj", "backbone/data_embed"),
    (f"{CLIP}.patch_embedder.class_embedding", "backbone/class_embedding"),
    (f"{RESNET}.block{{i}}.groupnorm", "backbone/conv_block{i}"),
    (f"{RESNET}.block{{i}}.project", "backbone/conv_block{i}/conv"),
    (f"{CLIP}.layers.{{i}}.self_attn", "backbone/block{i}/attn"),
    (f"{CLIP}.layers.{{i}}.self_attn.o_proj", "backbone/block{i}/attn/proj"),
    (f"{CLIP}.layers.{{i}}.mlp.gate_up", "backbone/block{i}/fc1"),
    (f"{CLIP}.layers.{{i}}.mlp.down_proj", "backbone/block{i}/fc2"),
    (f"{CLIP}.layers.{{i}}.input_layernorm", "backbone/block{i}/norm1"),
    (f"{CLIP}.layers.{{i}}.post_attention_layernorm", "backbone/block{i}/norm2"),
    (f"{CLIP}.norm", "backbone/norm"),
    (f"{CLIP}.output", "backbone/output"),
    ("text_model.embeddings.tok_embeddings", "text/token_embedding"),
    ("text_model.embeddings.norm", "text/token_norm"),
    ("text_model.layers.{i}.attn_norm", "text/block{i}/norm1"),
    ("text_model.layers.{i}.attn.Wqkv", "text/block{i}/attn/qkv"),
    ("text_model.layers.{i}.attn.Wo", "text/block{i}/attn/proj"),
    ("text_model.layers.{i}.mlp_norm", "text/block{i}/norm2"),
    ("text_model.layers.{i}.mlp.Wi", "text/block{i}/fc1"),
    ("text_model.layers.{i}.mlp.Wo", "text/block{i}/fc2"),
    ("text_model.final_norm", "text/norm"),
    ("text_video_head.layer_norm", "text_head/norm"),
    ("text_video_head.proj", "text_head/fc"),
    ("video_head.layer_norm", "video_head/norm"),
    ("video_head.proj", "video_head/fc"),
    ("text_video_logit_scale", "similarity/logit_scale"),
    ("text_video_logit_bias", "similarity/logit_bias"),
)
VIDEO_ORDER = (
    "text_video_logit_scale text_video_logit_bias text_model video_encoder text_video_head"
    " video_head embeddings tok_embeddings embedder vision_model patch_embedder class_embedding"
    " resnet_block block1 block2 groupnorm project layers cls_token pos_embed patch_embed norm_pre"
    " blocks norm1 attn_norm self_attn q_proj k_proj v_proj o_proj q_norm k_norm attn qkv Wqkv Wi"
    " Wo norm2 mlp_norm norm attn_pool latent q kv layer_norm proj data_proj attn_pool.norm mlp"
    " fc1 fc2 gate_proj up_proj down_proj input_layernorm post_attention_layernorm output"
    " final_norm head weight bias"
)
VIDEO = Weights(
    VIDEO_ROWS,
    order=VIDEO_ORDER,
    adapt=adapt,
    fix=fixes.chain(
        fixes.joined(tuple(f"self_attn.{x}_proj" for x in "qkv"), "self_attn.qkv"),
        fixes.joined(("gate_proj", "up_proj"), "gate_up"),
        fixes.without_batch(r".*\.(cls_token|pos_embed|latent|class_embedding)"),
    ),
)
