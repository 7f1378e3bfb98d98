"""Names of the tensors of CLIP in published files, and of models that are built on it."""

import flax.linen as nn
import numpy as np

from jaxvid.weights import inflate
from jaxvid.weights.convert import Table, Weights
from jaxvid.weights.names import fixes

ORDER = (
    "clip adapter class_embedding positional_embedding text_projection logit_scale proj conv1"
    " ln_pre visual frame_position_embeddings transformer ln_post token_embedding ln_final"
    " attn ln_1 mlp ln_2 in_proj_weight in_proj_bias out_proj c_fc c_proj weight bias"
)
# OpenAI's archives store three sizes, and files of open_clip the mask that hides later tokens.
SKIP = ("input_resolution", "context_length", "vocab_size", "attn_mask")


def blocks(torch: str, ours: str) -> Table:
    """Return the rename rows of a transformer, as OpenAI's code and open_clip have them.

    Args:
      torch: The transformer in the file, such as "visual.transformer".
      ours: The module whose blocks they are in our models, such as "backbone".
    """
    # "visual.transformer.resblocks.0.mlp.c_fc.bias" -> "backbone/block0/mlp/fc1/bias"
    names = {
        "attn.in_proj_weight": "attn/qkv/weight",
        "attn.in_proj_bias": "attn/qkv/bias",
        "attn.out_proj": "attn/proj",
        "mlp.c_fc": "mlp/fc1",
        "mlp.c_proj": "mlp/fc2",
        "ln_1": "norm1",
        "ln_2": "norm2",
    }
    return tuple(
        (f"{torch}.resblocks.{{i}}.{theirs}", f"{ours}/block{{i}}/{name}")
        for theirs, name in names.items()
    )


def towers(prefix: str = "") -> Table:
    """Return the rename rows of both towers, as OpenAI's code and open_clip have them.

    Args:
      prefix: What precedes the names in the file, such as "clip.".
    """
    # "visual.ln_pre.weight" -> "backbone/norm_pre/scale"
    rows = (
        *blocks(f"{prefix}visual.transformer", "backbone"),
        *blocks(f"{prefix}transformer", "text"),
        (f"{prefix}logit_scale", "similarity/logit_scale"),
        (f"{prefix}visual", "backbone"),
        (f"{prefix}visual.conv1", "backbone/patch_embed"),
        (f"{prefix}visual.ln_pre", "backbone/norm_pre"),
        (f"{prefix}visual.ln_post", "backbone/norm"),
        (f"{prefix}ln_final", "text/norm"),
    )
    own = ("positional_embedding", "text_projection", "token_embedding")
    return (*rows, *((prefix + name, f"text/{name}") for name in own))


def adapt(
    net: nn.Module | None, path: str, value: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Resize the positions of patches for frames of another size (`Weights.adapt`)."""
    if path.endswith("backbone/positional_embedding"):
        old, new = (round((rows - 1) ** 0.5) for rows in (len(value), shape[0]))
        return inflate.position_embedding(value, (1, old, old), (1, new, new))
    return value


def transformers_blocks(torch: str, ours: str) -> Table:
    """Return the rename rows of a transformer, as Hugging Face's code has them."""
    # "text_model.encoder.layers.0.layer_norm1.weight" -> "text/block0/norm1/scale"
    torch, ours = f"{torch}.encoder.layers.{{i}}", f"{ours}/block{{i}}"
    return (
        (f"{torch}.self_attn.qkv", f"{ours}/attn/qkv"),
        (f"{torch}.self_attn.out_proj", f"{ours}/attn/proj"),
        (f"{torch}.layer_norm1", f"{ours}/norm1"),
        (f"{torch}.layer_norm2", f"{ours}/norm2"),
        (f"{torch}.mlp", f"{ours}/mlp"),
    )


def transformers(norm_pre: str) -> Table:
    """Return the rename rows of both towers, as Hugging Face's code has them.

    Args:
      norm_pre: The normalization before the blocks of the vision tower, "pre_layrnorm" in CLIP.
    """
    return (
        *transformers_blocks("vision_model", "backbone"),
        *transformers_blocks("text_model", "text"),
        ("logit_scale", "similarity/logit_scale"),
        ("vision_model.embeddings.class_embedding", "backbone/class_embedding"),
        ("vision_model.embeddings.patch_embedding", "backbone/patch_embed"),
        ("vision_model.embeddings.position_embedding.weight", "backbone/positional_embedding"),
        (f"vision_model.{norm_pre}", "backbone/norm_pre"),
        ("vision_model.post_layernorm", "backbone/norm"),
        ("visual_projection.weight", "backbone/proj"),
        ("text_model.embeddings.token_embedding", "text/token_embedding"),
        ("text_model.embeddings.position_embedding.weight", "text/positional_embedding"),
        ("text_model.final_layer_norm", "text/norm"),
        ("text_projection.weight", "text/text_projection"),
    )


# OpenAI's code has queries, keys and values in one matrix, and other axes of the projections.
TRANSFORMERS_FIX = fixes.chain(
    fixes.joined(("q_proj", "k_proj", "v_proj"), "qkv"),
    fixes.transposed("(visual|text)_projection.weight"),
)
TRANSFORMERS_SKIP = (".*position_ids",)
TRANSFORMERS_ORDER = (
    "logit_scale prompts_visual_projection text_model vision_model visual_projection"
    " text_projection prompts_visual_layernorm mit prompts_generator embeddings class_embedding"
    " patch_embedding token_embedding position_embedding pre_layrnorm encoder post_layernorm"
    " pre_layernorm final_layer_norm alpha layernorm layers decoder self_attn cross_attn k_proj"
    " v_proj q_proj out_proj proj layer_norm1 norm1 norm3 mlp fc1 fc2 layer_norm2 message_fc"
    " message_ln message_attn weight bias"
)
TRANSFORMERS = Weights(
    transformers("pre_layrnorm"),
    TRANSFORMERS_SKIP,
    TRANSFORMERS_ORDER,
    adapt=adapt,
    fix=TRANSFORMERS_FIX,
)
