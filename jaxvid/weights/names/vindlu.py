"""Names of the tensors of VindLU in the files of MMAction2 and of its authors."""

import re
from collections.abc import Mapping
from dataclasses import replace

import flax.linen as nn
import numpy as np

from jaxvid.weights.convert import Fix, Table, Weights
from jaxvid.weights.names import fixes

# MMAction2 stores linear layers that it does not use.
UNUSED = (".*temp_model.linear.weight", ".*temp_model.linear.bias")
SKIP = (".*relative_position_index", ".*position_ids", *UNUSED)
ORDER = (
    "temp vision_layernorm vision_encoder text_encoder text_decoder vision_proj text_proj itm_head"
    " bert cls predictions embeddings cls_token temporal_position_embeddings patch_embeddings"
    " position_ids word_embeddings position_embeddings token_type_embeddings encoder layer"
    " lambda_1 lambda_2"
    " attention crossattention self query key value relative_position_bias intermediate output"
    " layernorm_before layernorm_after temp_model scale temporal_attn in_proj_weight in_proj_bias"
    " out_proj norm pooler predictions.bias transform dense LayerNorm decoder weight bias"
)


def rows(net: nn.Module | None) -> Table:
    """Return the rename rows of the model that compares, or of that which answers."""
    # "vision_encoder.encoder.layer.0.layernorm_before.weight" -> "backbone/block0/norm1/scale"
    torch, ours = "vision_encoder.encoder.layer.{i}", "backbone/block{i}"
    table = (
        (f"{torch}.lambda_1", f"{ours}/ls1/gamma"),
        (f"{torch}.lambda_2", f"{ours}/ls2/gamma"),
        (f"{torch}.attention.attention.qkv", f"{ours}/attn/qkv"),
        (
            f"{torch}.attention.attention.relative_position_bias.relative_position_bias_table",
            f"{ours}/relative_position_bias_table",
        ),
        (f"{torch}.attention.output.dense", f"{ours}/attn/proj"),
        (f"{torch}.intermediate.dense", f"{ours}/mlp/fc1"),
        (f"{torch}.output.dense", f"{ours}/mlp/fc2"),
        (f"{torch}.layernorm_before", f"{ours}/norm1"),
        (f"{torch}.layernorm_after", f"{ours}/norm2"),
        (f"{torch}.temp_model.scale", f"{ours}/temporal_gain"),
        (f"{torch}.temp_model.temporal_attn.in_proj_weight", f"{ours}/temporal_attn/qkv/weight"),
        (f"{torch}.temp_model.temporal_attn.in_proj_bias", f"{ours}/temporal_attn/qkv/bias"),
        (f"{torch}.temp_model.temporal_attn.out_proj", f"{ours}/temporal_attn/proj"),
        (f"{torch}.temp_model.norm", f"{ours}/temporal_norm"),
        ("vision_encoder.embeddings.cls_token", "backbone/class_embedding"),
        ("vision_encoder.embeddings.temporal_position_embeddings", "backbone/temporal_embedding"),
        ("vision_encoder.embeddings.patch_embeddings.projection", "backbone/patch_embed"),
        ("vision_encoder.pooler.layernorm", "backbone/norm_pooled"),
        ("vision_layernorm", "backbone/norm"),
        *_bert("text_encoder", "text"),
    )
    if net is not None and hasattr(net, "decoder"):
        head = "text_decoder.cls.predictions"
        return (
            *table,
            *_bert("text_decoder.bert", "decoder"),
            (f"{head}.bias", "decoder/bias"),
            (f"{head}.transform.dense", "decoder/transform"),
            (f"{head}.transform.LayerNorm", "decoder/transform_norm"),
        )
    return (
        *table,
        ("temp", "similarity/temperature"),
        ("vision_proj", "vision_proj"),
        ("text_proj", "text_proj"),
        ("itm_head", "match_head"),
    )


def _bert(torch: str, ours: str) -> Table:
    """Return the rename rows of a BERT with cross-attention."""
    # "text_encoder.encoder.layer.0.output.LayerNorm.weight" -> "text/layer_0/norm2/scale"
    layer, own = f"{torch}.encoder.layer.{{i}}", f"{ours}/layer_{{i}}"
    return (
        (f"{torch}.embeddings.word_embeddings", f"{ours}/words"),
        (f"{torch}.embeddings.position_embeddings", f"{ours}/positions"),
        (f"{torch}.embeddings.token_type_embeddings", f"{ours}/types"),
        (f"{torch}.embeddings.LayerNorm", f"{ours}/norm"),
        (f"{layer}.attention.self.qkv", f"{own}/attn/qkv"),
        (f"{layer}.attention.output.dense", f"{own}/attn/proj"),
        (f"{layer}.attention.output.LayerNorm", f"{own}/norm1"),
        (f"{layer}.crossattention.self.query", f"{own}/cross_attn/q"),
        (f"{layer}.crossattention.self.kv", f"{own}/cross_attn/kv"),
        (f"{layer}.crossattention.output.dense", f"{own}/cross_attn/proj"),
        (f"{layer}.crossattention.output.LayerNorm", f"{own}/norm_cross"),
        (f"{layer}.intermediate.dense", f"{own}/mlp/fc1"),
        (f"{layer}.output.dense", f"{own}/mlp/fc2"),
        (f"{layer}.output.LayerNorm", f"{own}/norm2"),
    )


def adapt(
    net: nn.Module | None, path: str, value: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Cut the embeddings of frames, or add zeros for more frames, as published."""
    if not path.endswith("backbone/temporal_embedding"):
        return value
    return np.pad(value[: shape[0]], ((0, max(0, shape[0] - len(value))), (0, 0)))


HEAD = "text_decoder.cls.predictions"
TIED = {
    f"{HEAD}.decoder.weight": "text_decoder.bert.embeddings.word_embeddings.weight",
    f"{HEAD}.decoder.bias": f"{HEAD}.bias",
}


def _without_tied(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: x for name, x in tensors.items() if name not in TIED}


def _with_tied(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {**tensors, **{copy: tensors[n] for copy, n in TIED.items() if n in tensors}}


# What only the comparison of videos with texts uses.
UNASKED = re.compile(r"(vision_proj|text_proj|itm_head)\..*|temp$")


def _started(net: nn.Module | None, fusion: int = 9) -> Fix:
    """Return a change of a pre-trained file, which has the names of a BERT in a language model.

    The decoder of answers starts from the layers of the text encoder that attend to the video, and
    from its language model.
    """
    answers = net is not None and hasattr(net, "decoder")

    def change(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = {}
        for name, x in tensors.items():
            inner = name.replace("text_encoder.bert.", "text_encoder.")
            if not re.match(r"text_encoder\.cls\.", name) and not (answers and UNASKED.match(name)):
                found[inner] = x
            if not answers or inner.split(".")[0] != "text_encoder":
                continue
            if layer := re.match(r"text_encoder\.encoder\.layer\.(\d+)\.", inner):
                i = int(layer[1]) - fusion
                if i >= 0:
                    rest = inner[layer.end() :]
                    found[f"text_decoder.bert.encoder.layer.{i}.{rest}"] = x
            elif ".cls." in inner:
                found[inner.replace("text_encoder", "text_decoder")] = x
            else:
                found[inner.replace("text_encoder", "text_decoder.bert")] = x
        return found

    return change, dict


PARTS = fixes.chain(
    fixes.joined(
        tuple(f"attention.attention.{part}.weight" for part in ("query", "key", "value")),
        "attention.attention.qkv.weight",
    ),
    fixes.joined(
        tuple(f"attention.attention.{part}.bias" for part in ("query", "value")),
        "attention.attention.qkv.bias",
    ),
    fixes.joined(
        tuple(f"attention.self.{part}" for part in ("query", "key", "value")), "attention.self.qkv"
    ),
    fixes.joined(
        tuple(f"crossattention.self.{part}" for part in ("key", "value")), "crossattention.self.kv"
    ),
    fixes.without_ones(".*cls_token", 0, 1),
    fixes.without_ones(".*temporal_position_embeddings", 0, 2),
    (_without_tied, _with_tied),
)
MMACTION = Weights(rows, SKIP, ORDER, adapt=adapt, fix=PARTS)
# The authors' files of pre-training, with a language model that only the decoder of answers uses.
VINDLU = replace(MMACTION, fix=lambda net: fixes.chain(_started(net), PARTS))
