"""Names of the tensors of VideoPrism in the files of Hugging Face and of its authors."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from jaxvid.weights import inflate
from jaxvid.weights.convert import Table, Weights
from jaxvid.weights.names import fixes

ORDER = (
    "vision_model video_model layernorm1 layernorm2 spatial_embeddings temporal_embeddings"
    " position_embeddings patch_embeddings spatial_layers temporal_layers auxiliary_layers head"
    " head_layernorm per_dim_scale pooling_attention_query attention q_proj k_proj v_proj o_proj"
    " layernorm_before layernorm_after mlp fc1 fc2 text_model embeddings cls_emb position_embedding"
    " position_ids token_embedding layers layernorm classifier weight bias"
)


def blocks(theirs: str, ours: str) -> Table:
    """Return the rename rows of a stack of blocks in transformers."""
    # "spatial_layers.0.attention.o_proj.bias" -> "backbone/block0/attn/proj/bias"
    theirs, ours = f"{theirs}.{{i}}", f"{ours}{{i}}"
    return (
        (theirs, ours),
        (f"{theirs}.attention.qkv", f"{ours}/attn/qkv"),
        (f"{theirs}.attention.o_proj", f"{ours}/attn/proj"),
        (f"{theirs}.layernorm_before", f"{ours}/norm1"),
        (f"{theirs}.layernorm_after", f"{ours}/norm2"),
    )


def encoder(prefix: str = "") -> Table:
    """Return the rename rows of transformers.VideoPrismVisionModel."""
    return (
        *blocks(f"{prefix}spatial_layers", "backbone/block"),
        *blocks(f"{prefix}temporal_layers", "backbone/time_block"),
        (f"{prefix}spatial_embeddings.patch_embeddings.projection", "backbone/patch_embed"),
        (f"{prefix}spatial_embeddings.position_embeddings", "backbone/space/table"),
        (f"{prefix}temporal_embeddings.position_embeddings", "backbone/time/table"),
        (f"{prefix}layernorm1", "backbone/space_norm"),
        (f"{prefix}layernorm2", "backbone/norm"),
    )


def pool(prefix: str, ours: str) -> Table:
    """Return the rename rows of the attention pooling and of the normalization after it."""
    return (
        *((f"{prefix}head.{name}_proj", f"{ours}/{name}") for name in "qkv"),
        (f"{prefix}head.o_proj", f"{ours}/proj"),
        (f"{prefix}head.per_dim_scale", f"{ours}/factors"),
        (f"{prefix}head.pooling_attention_query", f"{ours}/query"),
        (f"{prefix}head_layernorm", f"{ours}/norm"),
    )


FIX = fixes.chain(
    fixes.joined(("attention.q_proj", "attention.k_proj", "attention.v_proj"), "attention.qkv"),
    fixes.without_batch(r".*(position_embeddings|pooling_attention_query)"),
)


def adapt(net: Any, path: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resize the position tables for other clips, as the authors do (`Weights.adapt`)."""
    t, h, w = net.backbone.grid
    side = round(len(value) ** 0.5)
    methods = ("smooth", "smooth", "smooth")
    if path.endswith("time/table"):
        return inflate.position_embedding(value, (len(value), 1, 1), (t, 1, 1), methods)
    if path.endswith("space/table") and side * side == len(value):
        return inflate.position_embedding(value, (1, side, side), (1, h, w), methods)
    return value


def transformers(prefix: str = "") -> Weights:
    """Return the table of the recognizer in transformers.

    Args:
      prefix: What precedes the names of the encoder in the file: "vision_model." if it has a
        classifier.
    """
    rows = (*encoder(prefix), *pool("", "head/pool"), ("classifier", "head/fc"))
    return Weights(rows, order=ORDER, adapt=adapt, fix=FIX)


def table(net: Any, tensors: list[str]) -> dict[str, np.ndarray]:
    """Return the positions of texts that transformers stores beside its parameters."""
    positions = np.asarray(net.text.positions())
    prefix = "text_model.embeddings.position_"
    return {f"{prefix}embedding": positions, f"{prefix}ids": np.arange(len(positions))[None]}


def towers() -> Weights:
    """Return the table of transformers.VideoPrismClipModel."""
    text = "text_model.embeddings"
    rows = (
        *encoder("video_model.vision_model."),
        *blocks("video_model.auxiliary_layers", "video/block"),
        *pool("video_model.", "video/pool"),
        *blocks("text_model.layers", "text/block"),
        (f"{text}.cls_emb", "text/class_embedding"),
        (f"{text}.token_embedding", "text/token_embedding"),
        ("text_model.layernorm", "text/norm"),
    )
    buffers = (f"{text}.position_embedding", f"{text}.position_ids")
    fix = fixes.chain(FIX, fixes.without_batch(r".*cls_emb"))
    return Weights(rows, buffers, ORDER, buffers=table, adapt=adapt, fix=fix)


# The files of the authors
#
# They have the parameters of Flax modules, with the blocks of a stack in one array. `flax` changes
# them to those of transformers: "params/spatial_ln/scale" to "layernorm1.weight".
#
# Shapes: c channels, g heads, d channels of a head, p pixels of a patch.


def patches(x: np.ndarray) -> np.ndarray:
    """(p p 3, c) -> (c, 3, 1, p, p)."""
    p = round((len(x) // 3) ** 0.5)
    return x.T.reshape(-1, 1, p, p, 3).transpose(0, 4, 1, 2, 3)


# layout: from theirs to that of transformers, and back, given d
LAYOUTS: dict[str, tuple[Callable, Callable]] = {
    "same": (lambda x: x, lambda x, d: x),
    "batch": (lambda x: x[None], lambda x, d: x[0]),
    "matrix": (lambda x: x.T, lambda x, d: x.T),
    "patches": (patches, lambda x, d: x.transpose(0, 2, 3, 4, 1).reshape(len(x), -1).T),
    "vector": (lambda x: x.reshape(-1), lambda x, d: x.reshape(-1, d)),
    # (c, g, d) -> (g d, c)
    "inputs": (lambda x: x.reshape(len(x), -1).T, lambda x, d: x.T.reshape(x.shape[1], -1, d)),
    # (c, g, d) -> (c, g d)
    "outputs": (lambda x: x.reshape(len(x), -1), lambda x, d: x.reshape(len(x), -1, d)),
}
Names = dict[str, tuple[str, str]]  # theirs -> that of transformers, and a layout


def norm(theirs: str, torch: str) -> Names:
    """Return the names of a normalization."""
    return {
        f"{theirs}/scale": (f"{torch}.weight", "same"),
        f"{theirs}/bias": (f"{torch}.bias", "same"),
    }


def linear(theirs: str, torch: str, layout: str = "matrix") -> Names:
    """Return the names of a linear layer."""
    return {
        f"{theirs}/linear/kernel": (f"{torch}.weight", layout),
        f"{theirs}/linear/bias": (f"{torch}.bias", "same"),
    }


def attention(theirs: str, torch: str) -> Names:
    """Return the names of an attention layer."""
    found: Names = {
        f"{theirs}/post/w": (f"{torch}.o_proj.weight", "outputs"),
        f"{theirs}/post/b": (f"{torch}.o_proj.bias", "same"),
    }
    for name in ("query", "key", "value"):
        found[f"{theirs}/{name}/w"] = f"{torch}.{name[0]}_proj.weight", "inputs"
        found[f"{theirs}/{name}/b"] = f"{torch}.{name[0]}_proj.bias", "vector"
    return found


def stack(theirs: str, torch: str) -> Names:
    """Return the names of a stack of blocks; `{i}` stands for the number of a block."""
    theirs, torch = f"{theirs}/x_layers", f"{torch}.{{i}}"
    return {
        **norm(f"{theirs}/layer_norm", f"{torch}.layernorm_before"),
        **attention(f"{theirs}/self_attention", f"{torch}.attention"),
        **norm(f"{theirs}/ff_layer/layer_norm", f"{torch}.layernorm_after"),
        **linear(f"{theirs}/ff_layer/ffn_layer1", f"{torch}.mlp.fc1"),
        **linear(f"{theirs}/ff_layer/ffn_layer2", f"{torch}.mlp.fc2"),
    }


def flax_encoder(theirs: str = "params/", torch: str = "") -> Names:
    """Return the names of the encoder, below a prefix there and one in transformers."""
    embeddings = f"{torch}spatial_embeddings"
    return {
        **stack(f"{theirs}spatial_encoder/transformers_stack", f"{torch}spatial_layers"),
        **stack(f"{theirs}temporal_encoder/transformers_stack", f"{torch}temporal_layers"),
        **linear(
            f"{theirs}patch_projection", f"{embeddings}.patch_embeddings.projection", "patches"
        ),
        f"{theirs}spatial_pos_emb/emb_var": (f"{embeddings}.position_embeddings", "batch"),
        f"{theirs}temporal_pos_emb/emb_var": (
            f"{torch}temporal_embeddings.position_embeddings",
            "batch",
        ),
        **norm(f"{theirs}spatial_ln", f"{torch}layernorm1"),
        **norm(f"{theirs}temporal_ln", f"{torch}layernorm2"),
    }


def flax_pool(torch: str = "") -> Names:
    """Return the names of the attention pooling, below a prefix in transformers."""
    theirs = "params/contrastive_vision_pooler"
    query = f"{theirs}/pooling_attention_query"
    factors = f"{theirs}/pooling_attention/per_dim_scale/per_dim_scale"
    return {
        **attention(f"{theirs}/pooling_attention", f"{torch}head"),
        **norm(f"{theirs}/pooling_attention_layer_norm", f"{torch}head_layernorm"),
        query: (f"{torch}head.pooling_attention_query", "batch"),
        factors: (f"{torch}head.per_dim_scale", "same"),
    }


def renamed(names: Names) -> fixes.Fix:
    """Return the change from the authors' names, axes and stacks to those of transformers."""

    def there(tensors: Mapping[str, np.ndarray]) -> fixes.Tensors:
        found = {}
        for name, x in tensors.items():
            torch, layout = names.get(name, (name, "same"))
            change, _ = LAYOUTS[layout]
            parts = (
                {torch.format(i=i): y for i, y in enumerate(x)} if "{i}" in torch else {torch: x}
            )
            found |= {part: change(y) for part, y in parts.items()}
        return found

    def back(tensors: Mapping[str, np.ndarray]) -> fixes.Tensors:
        left = dict(tensors)
        # The heads of the pooling are four times as wide as those of all blocks.
        wide = next((x.size for name, x in left.items() if name.endswith("per_dim_scale")), 256)
        found = {}
        for name, (torch, layout) in names.items():
            d = wide if "pooling_attention/" in name else wide // 4
            several, i = "{i}" in torch, 0
            parts = []
            while (key := torch.format(i=i)) in left:
                parts.append(np.ascontiguousarray(LAYOUTS[layout][1](left.pop(key), d)))
                i += 1
            if parts:
                found[name] = np.stack(parts) if several else parts[0]
        return found | left

    return there, back


def flax() -> Weights:
    """Return the table of the encoder in the files of the authors."""
    fix = fixes.chain(renamed({**flax_encoder(), **flax_pool()}), FIX)
    return replace(transformers(), fix=fix)


def flax_towers() -> Weights:
    """Return the table of the towers of videos and texts in the files of the authors."""
    text = "params/text_encoder"
    changed = {
        **flax_encoder("params/vision_encoder/", "video_model.vision_model."),
        **stack("params/auxiliary_encoder/transformers_stack", "video_model.auxiliary_layers"),
        **flax_pool("video_model."),
        **stack(f"{text}/unimodal_transformer", "text_model.layers"),
        **norm(f"{text}/unimodal_ln", "text_model.layernorm"),
        f"{text}/cls_emb": ("text_model.embeddings.cls_emb", "same"),
        f"{text}/token_emb/emb_var": ("text_model.embeddings.token_embedding.weight", "same"),
    }
    whole = towers()
    fix = fixes.chain(renamed(changed), whole.fixes())
    return replace(whole, skip=(), buffers=None, fix=fix)
