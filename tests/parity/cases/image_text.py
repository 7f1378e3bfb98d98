"""Goldens of models with a tower of videos and one of texts."""

import jax.numpy as jnp
import numpy as np
from einops import rearrange

from tests.parity.cases.case import Case


def videos_and_texts(x):
    video = rearrange(x["video"], "n t c h w -> n t h w c")
    return {"video": video, "text": x["text"].astype("int32")}


def images_and_texts(x):
    """Each image is a video of one frame."""
    video = rearrange(x["video"], "n c h w -> n 1 h w c")
    return {"video": video, "text": x["text"].astype("int32")}


def unit(x):
    return x / (x**2).sum(-1, keepdims=True) ** 0.5


def similarity(out):
    """Features, and a hundred times their cosines."""
    video, text = unit(out.video), unit(out.text)
    return {"video": out.video, "text": out.text, "sim": 100 * video @ text.T}


def in_transformers(out):
    """What Hugging Face calls the outputs."""
    image, text = unit(out.video), unit(out.text)
    cosines = {"image": image, "text": text, "per_image": out.scale * image @ text.T}
    return cosines | {"image_raw": out.video, "text_raw": out.text}


def two_towers(name, variant, **options):
    spec = dict(name=name, variant=variant, **options)
    return Case(spec, videos_and_texts, "n t h w c -> n t c h w", outputs=similarity)


def texts_of_all(x):
    """The texts are those of all videos."""
    return {**videos_and_texts(x), "text": x["text"][None].astype("int32")}


def prompted(out, frames, *inner):
    """What Hugging Face calls the outputs of X-CLIP; `inner` has the features of texts before."""
    before = next(x[0] for x in inner if x.shape == (1, *out.text.shape[1:]))
    video, text = unit(out.video), unit(out.text)
    score = out.scale * (text @ video[..., None])[..., 0]
    return {
        "per_video": score,
        "per_video_without_mask": score,
        "video": video,
        "text": text,
        "text_before_prompts": before,
        "mit": out.video,
        "frame_cls": frames.reshape(-1, frames.shape[-1]),
    }


def encoded(out, pooled, _, tokens):
    """What the golden of an image tower calls its outputs."""
    tokens, pooled = tokens[:, 0], pooled[:, 0, 0]
    first = {"tokens_mean": tokens.mean(1), "tokens_first": tokens[:, :4]}
    return {"cls": out, "pooled": pooled, **first}


SHOWN = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], bool)  # frames of the two videos that are no padding


def padded(x):
    """Both videos with padding, and both as if they had none."""
    x = videos_and_texts(x)
    valid = np.concatenate([SHOWN, np.ones_like(SHOWN)])
    return {"video": jnp.concatenate([x["video"]] * 2), "text": x["text"], "valid": valid}


def compared(out, states, pooled):
    """What Hugging Face calls the outputs of PE-AV."""
    pooled, video = pooled[:, 0, 0, 0], out.video[:2]
    return {
        "video_text": out.scale * video @ out.text.T + out.bias,
        "video": video,
        "text": out.text,
        "video_states": states[:2, :2, 0, 0, ::7],
        "pooled": pooled[:2],
        "pooled_without_mask": pooled[2:],
    }


CASES = {
    "pe_video_l2": Case(
        dict(
            name="pevideo",
            variant="large",
            size=112,
            frame_depth=2,
            embedding=2,
            depth=2,
            text=dict(depth=3),
        ),
        padded,
        lambda found: found[0][2:, :, 0, 0],  # recorded without padding
        "transformers",
        outputs=compared,
        inner="backbone",
    ),
    "pe_core_b16": Case(
        dict(name="pe", variant="b16"),
        lambda x: {"video": rearrange(x, "n c h w -> n 1 h w c")},
        "b t n c -> (b t) n c",
        "timm",
        outputs=encoded,
        tokens="norm",
        inner="norm attn_pool",
    ),
    "clip_l14": Case(
        dict(name="clip", variant="vitl14"),
        images_and_texts,
        "b t n c -> (b t) n c",
        "transformers",
        outputs=in_transformers,
        tokens="block23",
    ),
    "xclip_b32": Case(
        dict(name="xclip", variant="vitb32"),
        texts_of_all,
        "b t n c -> (b t) n c",
        "transformers",
        outputs=prompted,
        tokens="block11",
        inner="norm text",
    ),
    "clip4clip_vitb32": two_towers("clip4clip", "vitb32"),
    "actionclip_vitb32_8": two_towers("actionclip", "vitb32"),
    "actionclip_vitb16_16": two_towers("actionclip", "vitb16", frames=16),
}
