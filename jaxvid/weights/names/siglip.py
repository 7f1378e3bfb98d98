"""Names of the tensors of SigLIP and SigLIP 2 in published files."""

import flax.linen as nn
import numpy as np

from jaxvid.weights import inflate
from jaxvid.weights.convert import Table, Weights
from jaxvid.weights.names import fixes


def tower(torch: str, ours: str) -> Table:
    """Return the rename rows of the blocks of a tower."""
    # "text_model.encoder.layers.0.layer_norm1.weight" -> "text/block0/norm1/scale"
    parts = {"self_attn.qkv": "attn/qkv", "self_attn.out_proj": "attn/proj"}
    parts |= {"layer_norm1": "norm1", "layer_norm2": "norm2", "mlp": "mlp"}
    return tuple(
        (f"{torch}.encoder.layers.{{i}}.{theirs}", f"{ours}/block{{i}}/{name}")
        for theirs, name in parts.items()
    )


ROWS = (
    ("logit_scale", "similarity/logit_scale"),
    ("logit_bias", "similarity/logit_bias"),
    *tower("vision_model", "backbone"),
    ("vision_model.embeddings.patch_embedding", "backbone/patch_embed"),
    ("vision_model.embeddings.position_embedding.weight", "backbone/pos_embed/table"),
    ("vision_model.post_layernorm", "backbone/norm"),
    ("vision_model.head.probe", "backbone/pool/probe"),
    ("vision_model.head.attention", "backbone/pool/attn"),
    ("vision_model.head.attention.out_proj", "backbone/pool/attn/proj"),
    ("vision_model.head.layernorm", "backbone/pool/norm"),
    ("vision_model.head.mlp", "backbone/pool/mlp"),
    *tower("text_model", "text"),
    ("text_model.embeddings.token_embedding", "text/token_embedding"),
    ("text_model.embeddings.position_embedding.weight", "text/pos_embed/table"),
    ("text_model.final_layer_norm", "text/norm"),
    ("text_model.head", "text/head"),
)
FIX = fixes.chain(
    fixes.joined(("q_proj", "k_proj", "v_proj"), "qkv"),
    fixes.parted(".*in_proj_weight", "in_proj_weight", {"q.weight": 1, "kv.weight": 2}),
    fixes.parted(".*in_proj_bias", "in_proj_bias", {"q.bias": 1, "kv.bias": 2}),
    fixes.without_batch("vision_model.head.probe"),
)


def resize(
    net: nn.Module | None, path: str, value: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Resize the positions of patches for frames of another size (`Weights.adapt`)."""
    if not path.endswith("backbone/pos_embed/table"):
        return value
    old, new = (round(rows**0.5) for rows in (len(value), shape[0]))
    return inflate.position_embedding(value, (1, old, old), (1, new, new))


ORDER = (
    "logit_scale logit_bias text_model vision_model embeddings encoder final_layer_norm"
    " post_layernorm head token_embedding patch_embedding position_embedding layer_norm1 self_attn"
    " layer_norm2 k_proj v_proj q_proj probe attention in_proj_weight in_proj_bias out_proj"
    " layernorm mlp fc1 fc2 weight bias"
)
TRANSFORMERS = Weights(ROWS, (".*position_ids",), ORDER, adapt=resize, fix=FIX)
