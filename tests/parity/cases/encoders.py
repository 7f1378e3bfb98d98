"""Goldens of encoders that are trained without labels, and of classifiers on them."""

from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid import plug
from jaxvid.models.videoprismlvt import VideoText
from jaxvid.models.vjepa2 import Predictor
from jaxvid.weights.names import vjepa2 as names
from tests.parity.cases.case import Case


def videos(x):
    return {"video": rearrange(x, "n t c h w -> n t h w c")}


def classifier(name, variant, **options):
    """A classifier on an encoder."""
    spec = dict(name=name, variant=variant, **options)
    return Case(spec, videos, "n t h w c -> n (t h w) c", upstream="transformers", train={})


# V-JEPA 2


def vjepa2(**options):
    return replace(classifier("vjepa2", "vitl", **options), unused=r"vjepa2\.predictor\..*")


class Pretrained(nn.Module):
    """The encoder, and the predictor on the tokens `context` and on all tokens."""

    backbone: nn.Module
    predictor: nn.Module

    def __call__(self, video, context, target, *, train):
        x = self.backbone(video, train=train)
        grid, x = x.shape[2:4], rearrange(x, "b t h w c -> b (t h w) c")
        every = np.arange(x.shape[1])[None]
        seen, hidden = x[0, context[0]][None], x[0, target[0]][None]
        found = self.predictor(seen, context, target, grid=grid, train=train)
        full = self.predictor(x, every, every, grid=grid, train=train)
        return {
            "encoder_mean": x.mean(1),
            "encoder_first": x[:, :4],
            "masked_first": seen[:, :4],
            "target_first": hidden[:, :4],
            "predictor": found[:, :8],
            "predictor_mean": found.mean(1),
            "predictor_full_mean": full.mean(1),
            "predictor_full_first": full[:, :4],
        }


def with_predictor():
    spec = dict(name="vjepa2", variant="vitl", depth=4)

    def make(dtype: Any = jnp.float32):
        encoder = plug.load("models", spec, "backbone", dtype=dtype)
        return Pretrained(encoder, Predictor(dtype=dtype))

    def inputs(x):
        masks = {key: x[f"{key}_mask"].astype("int32") for key in ("context", "target")}
        return {**videos(x["video"]), **masks}

    return Case(spec, inputs, "n t h w c -> n (t h w) c", make=make, table=names.PRETRAINED)


# VideoPrism


class Encoder(nn.Module):
    """An encoder alone."""

    backbone: nn.Module

    def __call__(self, video, *, train):
        return self.backbone(video, train=train)


def of_tokens(out, spatial, *_):  # the others are of methods of the block
    tokens = rearrange(out, "b t h w c -> b (t h w) c")
    return {
        "mean": tokens.mean(1),
        "frame_mean": out.mean((2, 3)),
        "first": tokens[:, :4],
        "last": tokens[:, -4:],
        "spatial_first": spatial[0, :, :2],
    }


def videoprism(**options):
    spec = dict(name="videoprism", variant="base", **options)

    def make(dtype: Any = jnp.float32):
        return Encoder(plug.load("models", spec, "backbone", dtype=dtype))

    features = "n t h w c -> (n h w) t c"
    last = f"block{options.get('depth', 12) - 1}"  # of frames, before the normalization
    more = dict(make=make, outputs=of_tokens, inner=last)
    return Case(spec, videos, features, upstream="pretrained", **more)


class Towers(VideoText):
    """Both towers, and the features of texts whose tokens see padding and later tokens."""

    def __call__(self, video=None, text=None, *, train):
        out = super().__call__(video, text, train=train)
        return out.video, out.text, self.text(text, masked=False)


def compared(out, *inner):
    """Of what is inside, the last block of the video and the last norm of the text have states."""
    video, text, unmasked = (x / (x**2).sum(-1, keepdims=True) ** 0.5 for x in out)
    video_state = next(x for x in inner if x.shape[1] == 8 * 256)
    *_, text_state, _ = (x for x in inner if x.shape[1] == 64 + 1)
    score = np.exp(video @ text.T)
    return {
        "video": video,
        "text": text,
        "cosine": video @ text.T,
        "per_video": score / score.sum(0),
        "per_text": score.T / score.sum(1),
        "text_state": text_state[:, -2:],
        "text_without_mask": unmasked,
        "video_state_mean": video_state.mean(1),
    }


def video_text():
    options = dict(frames=8, depth=4, temporal_depth=2, text=dict(depth=4), endpoint=False)
    spec = dict(name="videoprismlvt", variant="base", **options)

    def make(dtype: Any = jnp.float32):
        net = plug.load("models", spec, num_classes=0, dtype=dtype)
        return Towers(net.backbone, net.video, net.text)

    return Case(
        spec,
        lambda x: {**videos(x["video"]), "text": x["text"].astype("int32")},
        "n t h w c -> n (t h w) c",
        upstream="transformers",
        make=make,
        inner="block1 norm",
        outputs=compared,
    )


TABLES = ("params/backbone/space/table", "params/backbone/time/table")
CASES = {
    "vjepa2_l4": vjepa2(depth=4),
    "vjepa2_vitl": vjepa2(),
    "vjepa2_l4_predictor": with_predictor(),
    "videoprism_base": videoprism(),
    "videoprism_l4_cls": classifier(
        "videoprism", "base", depth=4, temporal_depth=2, frames=8, size=216
    ),
    "videoprism_lvt_l4": video_text(),
    "videoprism_l4_interp": replace(
        videoprism(depth=2, temporal_depth=1, frames=10, size=(216, 324)), adapted=TABLES
    ),
}
