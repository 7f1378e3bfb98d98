"""CLIP4Clip (Luo et al., 2021), https://arxiv.org/abs/2104.08860.

CLIP for videos: the mean of what it makes of the frames is compared with what it makes of a text.

Shapes: b batch, t frames, n tokens, f features of the space that videos and texts share.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.layers.clip import Scale, TextTower, VisionTower
from jaxvid.weights import inflate
from jaxvid.weights.convert import Weights

VARIANTS: dict[str, dict] = {
    "test": dict(size=32, patch=16, width=16, depth=2, heads=2, features=8),
    "mini": dict(size=32, patch=8, width=32, depth=2, heads=2, features=32),
    "vitb32": dict(size=224, patch=32),
    "vitb16": dict(size=224, patch=16),
    "vitl14": dict(size=224, patch=14, width=1024, depth=24, heads=16, features=768),
}
# Of the text tower, whose features are those of the other.
TEXT: dict[str, dict] = {
    "test": dict(width=16, depth=2, heads=2, vocabulary=64, length=8),
    "mini": dict(width=32, depth=2, heads=2),
    "vitb32": dict(heads=8),
    "vitb16": dict(heads=8),
    "vitl14": dict(width=768, heads=12),
}


class Matched(NamedTuple):
    """Features of videos (b, f) and of texts (..., f), None where none were given; float32.

    `scale` () multiplies their cosines.
    """

    video: jax.Array | None
    text: jax.Array | None
    scale: jax.Array


class TwoTowers(nn.Module):
    """video (b, t, h, w, 3) and token ids text (..., n) -> Matched; either may be left out.

    Attributes:
      backbone: frame by frame.
      text: of the same features.
      adapter: from features of frames (b, t, f) to those of videos (b, f); None is their mean.
    """

    backbone: VisionTower
    text: TextTower
    adapter: nn.Module | None = None

    @nn.compact
    def __call__(self, video=None, text=None, *, train):
        if video is not None:
            video = self.backbone(video, train=train)[:, :, 0, 0]
            video = video.mean(1) if self.adapter is None else self.adapter(video)
            video = video.astype(jnp.float32)
        if text is not None:
            text = self.text(text).astype(jnp.float32)
        return Matched(video, text, Scale(name="similarity")())


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, a text for each video."""
    size, length = VARIANTS[variant]["size"], TEXT[variant].get("length", TextTower.length)
    return {
        "video": jax.ShapeDtypeStruct((2, 4, size, size, 3), jnp.float32),
        "text": jax.ShapeDtypeStruct((2, length), jnp.int32),
    }


def backbone(variant, **overrides):
    return VisionTower(**{**VARIANTS[variant], **overrides})


def text_tower(variant, vision: VisionTower):
    """The text tower that goes with a vision tower."""
    shared: dict[str, Any] = dict(features=vision.features, quick=vision.quick, remat=vision.remat)
    return TextTower(**TEXT[variant], **shared, dtype=vision.dtype)


def build(variant, *, dtype: Any = jnp.float32, **overrides):
    """Return both towers; arguments are those of `VisionTower`."""
    vision = backbone(variant, dtype=dtype, **overrides)
    return TwoTowers(vision, text_tower(variant, vision))


# Weights

ORDER = (
    "clip adapter class_embedding positional_embedding text_projection logit_scale proj conv1"
    " ln_pre visual frame_position_embeddings transformer ln_post token_embedding ln_final"
    " attn ln_1 mlp ln_2 in_proj_weight in_proj_bias out_proj c_fc c_proj weight bias"
)


def blocks(torch, ours):
    """Rename rows of a transformer.

    "visual.transformer.resblocks.0.mlp.c_fc.bias" -> "backbone/block0/mlp/fc1/bias"
    """
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


def other_size(net, path, value, shape):
    """Positions of patches for frames of another size."""
    if path.endswith("backbone/positional_embedding"):
        old, new = (round((rows - 1) ** 0.5) for rows in (len(value), shape[0]))
        return inflate.position_embedding(value, (1, old, old), (1, new, new))
    return value


def towers(prefix=""):
    """Rename rows of CLIP's names, which OpenAI's code and open_clip share.

    "visual.ln_pre.weight" -> "backbone/norm_pre/scale"
    """
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


# Of OpenAI's archive, numbers that its sizes tell too; of open_clip, the mask of later tokens.
SKIP = ("input_resolution", "context_length", "vocab_size", "attn_mask")


def hugging_face():
    """Return the table of transformers.CLIPModel.

    "text_model.encoder.layers.0.layer_norm1.weight" -> "text/block0/norm1/scale"
    """
    rows = [
        ("logit_scale", "similarity/logit_scale"),
        ("vision_model.embeddings.class_embedding", "backbone/class_embedding"),
        ("vision_model.embeddings.patch_embedding", "backbone/patch_embed"),
        ("vision_model.embeddings.position_embedding.weight", "backbone/positional_embedding"),
        ("vision_model.pre_layrnorm", "backbone/norm_pre"),
        ("vision_model.post_layernorm", "backbone/norm"),
        ("visual_projection.weight", "backbone/proj"),
        ("text_model.embeddings.token_embedding", "text/token_embedding"),
        ("text_model.embeddings.position_embedding.weight", "text/positional_embedding"),
        ("text_model.final_layer_norm", "text/norm"),
        ("text_projection.weight", "text/text_projection"),
    ]
    for torch, ours in (("vision_model", "backbone"), ("text_model", "text")):
        torch, ours = f"{torch}.encoder.layers.{{i}}", f"{ours}/block{{i}}"
        rows += [
            (f"{torch}.self_attn.qkv", f"{ours}/attn/qkv"),
            (f"{torch}.self_attn.out_proj", f"{ours}/attn/proj"),
            (f"{torch}.layer_norm1", f"{ours}/norm1"),
            (f"{torch}.layer_norm2", f"{ours}/norm2"),
            (f"{torch}.mlp", f"{ours}/mlp"),
        ]
    return Weights(tuple(rows), (".*position_ids",), adapt=other_size, fix=(joined, parted))


def joined(tensors):
    """Join queries, keys and values, and transpose projections as OpenAI's code has them."""
    found = dict(tensors)
    for name in PROJECTIONS & found.keys():
        found[name] = found[name].T
    for name in tensors:
        parts = [name.replace("q_proj", part) for part in PARTS]
        if "q_proj" in name and found.keys() >= set(parts):
            whole = np.concatenate([found.pop(part) for part in parts])
            found[name.replace("q_proj", "qkv")] = whole
    return found


def parted(tensors):
    """Undo `joined`, for export."""
    found = {}
    for name, value in tensors.items():
        if name in PROJECTIONS:
            value = np.ascontiguousarray(value.T)
        if ".qkv." in name:
            parts = zip(PARTS, np.split(value, 3), strict=True)
            found |= {name.replace("qkv", part): x for part, x in parts}
        else:
            found[name] = value
    return found


PROJECTIONS = {"visual_projection.weight", "text_projection.weight"}
PARTS = ("q_proj", "k_proj", "v_proj")
WEIGHTS = {
    "hf": hugging_face(),
    "mmaction": Weights(towers("clip."), order=ORDER, adapt=other_size),
    "openai": Weights(towers(), SKIP, ORDER, adapt=other_size),  # open_clip's too
}
