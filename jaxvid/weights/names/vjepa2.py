"""Names of the tensors of V-JEPA 2 in the files of Hugging Face and of its authors."""

from typing import Any

from jaxvid.weights.convert import Table, Weights
from jaxvid.weights.names import fixes

ORDER = (
    "vjepa2 encoder predictor embeddings mask_tokens predictor_embeddings patch_embeddings layer"
    " layernorm pooler query_tokens cross_attention_layer self_attention_layers norm1 layer_norm1"
    " attention query key value self_attn cross_attn k_proj v_proj q_proj out_proj proj norm2"
    " layer_norm2 mlp fc1 fc2 classifier weight bias"
)


def blocks(theirs: str, ours: str) -> Table:
    """Return the rename rows of the blocks of the encoder or the predictor in transformers."""
    layer, block = f"{theirs}.layer.{{i}}", f"{ours}/block{{i}}"
    return (layer, block), (f"{layer}.attention", f"{block}/attn")


def recognizer(prefix: str = "") -> Table:
    """Return the rename rows of transformers.VJEPA2Model, and of the classifier on it."""
    # "vjepa2.encoder.layer.0.attention.proj.bias" -> "backbone/block0/attn/proj/bias"
    pool, cross = "pooler.self_attention_layers.{i}", "pooler.cross_attention_layer"
    return (
        *blocks(f"{prefix}encoder", "backbone"),
        (f"{prefix}encoder.embeddings.patch_embeddings.proj", "backbone/patch_embed"),
        (f"{prefix}encoder.layernorm", "backbone/norm"),
        (pool, "head/block{i}"),
        (f"{pool}.layer_norm1", "head/block{i}/norm1"),
        (f"{pool}.layer_norm2", "head/block{i}/norm2"),
        (f"{pool}.self_attn", "head/block{i}/attn"),
        (f"{pool}.self_attn.out_proj", "head/block{i}/attn/proj"),
        ("pooler.query_tokens", "head/pool/query"),
        (cross, "head/pool"),
        (f"{cross}.layer_norm1", "head/pool/norm1"),
        (f"{cross}.layer_norm2", "head/pool/norm2"),
        (f"{cross}.cross_attn.q_proj", "head/pool/q"),
        (f"{cross}.cross_attn.kv", "head/pool/kv"),
        ("classifier", "head/fc"),
    )


FIX = fixes.chain(
    fixes.joined(("attention.query", "attention.key", "attention.value"), "attention.qkv"),
    fixes.joined(("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "self_attn.qkv"),
    fixes.joined(("cross_attn.k_proj", "cross_attn.v_proj"), "cross_attn.kv"),
)
# "predictor.embeddings.predictor_embeddings.bias" -> "predictor/embed/bias"
PREDICTOR = (
    *blocks("predictor", "predictor"),
    ("predictor.embeddings.mask_tokens", "predictor/mask_tokens"),
    ("predictor.embeddings.predictor_embeddings", "predictor/embed"),
    ("predictor.layernorm", "predictor/norm"),
    ("predictor.proj", "predictor/proj"),
)
PRETRAINED = Weights((*recognizer(), *PREDICTOR), order=ORDER, fix=FIX)


def transformers(prefix: str = "") -> Weights:
    """Return the table of the recognizer in transformers.

    Args:
      prefix: What precedes the names of transformers.VJEPA2Model in the file: "vjepa2." if it has
        a classifier.
    """
    return Weights(recognizer(prefix), (f"{prefix}predictor.*",), ORDER, fix=FIX)


def official(net: Any) -> Table:
    """Return the rename rows of the files of github.com/facebookresearch/vjepa2."""
    # "backbone.blocks.0.attn.qkv.bias" -> "backbone/block0/attn/qkv/bias"
    norm = "backbone.norms_block.3" if net.backbone.modality else "backbone.norm"
    return (
        ("backbone.blocks.{i}", "backbone/block{i}"),
        ("backbone.patch_embed.proj", "backbone/patch_embed"),
        ("backbone.video_mod_embed", "backbone/video_embedding"),
        (norm, "backbone/norm"),
        ("pooler.blocks.{i}", "head/block{i}"),
        ("pooler.query_tokens", "head/pool/query"),
        ("pooler.cross_attention_block", "head/pool"),
        ("pooler.cross_attention_block.xattn.q", "head/pool/q"),
        ("pooler.cross_attention_block.xattn.kv", "head/pool/kv"),
        ("linear", "head/fc"),
    )


# Not for clips: fixed positions that rotation replaced, what V-JEPA 2.1 has for images, and norms
# of lower blocks, which its pre-training uses.
SKIP = (
    "backbone.pos_embed",
    "backbone.patch_embed_img.*",
    "backbone.img_mod_embed",
    *(f"backbone.norms_block.{i}.*" for i in range(3)),
)
OFFICIAL = Weights(official, SKIP)
