"""One row per golden: the model that reproduces it, and how its arrays stand in ours.

Shapes: n samples, v views, s segments (frames of a 2-D recogniser), c channels, t frames, h height,
w width, m people, j joints.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from einops import rearrange


@dataclass(frozen=True)
class Case:
    """How one golden is reproduced.

    Attributes:
      model: spec; the number of classes follows from the golden.
      inputs: the golden's input, an array or a dict of arrays -> the model's keyword arguments.
      features: einops pattern that turns what our backbone gives into what upstream's does.
      upstream: the rename table.
      train: overrides that take chance out of training.
      outputs: what our model gives -> what upstream's does, under the golden's names.
      absolute: bound of max|a - b| for outputs whose spread is too small for a relative one.
    """

    model: Mapping[str, Any]
    inputs: Callable[[Any], dict[str, Any]]
    features: str
    upstream: str = "mmaction"
    train: Mapping[str, Any] = field(default_factory=lambda: dict(dropout=0.0))
    outputs: Callable[[Any], Any] = lambda out: out
    absolute: float | None = None


def segments(x):
    return {"video": rearrange(x, "n s c h w -> n s h w c")}


def clips(x):
    return {"video": rearrange(x, "n v c t h w -> (n v) t h w c")}


def people(x):
    return {"keypoint": rearrange(x, "n v m t j c -> (n v) m t j c")}


def videos_and_texts(x):
    video = rearrange(x["video"], "n t c h w -> n t h w c")
    return {"video": video, "text": x["text"].astype("int32")}


def similarity(out):
    """Features, and a hundred times their cosines."""
    video, text = (x / (x**2).sum(-1, keepdims=True) ** 0.5 for x in out[:2])
    return {"video": out.video, "text": out.text, "sim": 100 * video @ text.T}


def two_towers(name, variant, **options):
    spec = dict(name=name, variant=variant, **options)
    return Case(spec, videos_and_texts, "n t h w c -> n t c h w", outputs=similarity)


def of_frames(name, variant, **options):
    """A 2-D recogniser."""
    spec = dict(name=name, variant=variant, **options)
    return Case(spec, segments, "n t h w c -> (n t) c h w")


def of_clips(name, variant, **options):
    """A 3-D recogniser."""
    spec = dict(name=name, variant=variant, **options)
    return Case(spec, clips, "n t h w c -> n c t h w")


def of_skeletons(name, variant):
    return Case(dict(name=name, variant=variant), people, "n m t j c -> n m c t j")


def swin(variant, **options):
    spec = dict(name="swin", variant=variant, **options)
    train = dict(dropout=0.0, drop_path=0.0)
    return Case(spec, clips, "n t h w c -> n c t h w", train=train)


SCALED = dict(non_local="embedded_gaussian", non_local_scale=True)
CASES = {
    "swin_tiny": swin("tiny"),
    "swin_small": swin("small"),
    "swin_base": swin("base"),
    "swin_large": swin("large"),
    "swin_base_w1677_sthv2": swin("base", window=(16, 7, 7)),
    "swin_tiny_w1677_odd": swin("tiny", window=(16, 7, 7)),
    "tsn_r50": of_frames("tsn", "r50"),
    "tsn_r101": of_frames("tsn", "r101"),
    "tsn_r50_flow": of_frames("tsn", "r50"),
    "tsn_r50_sthv2": of_frames("tsn", "r50"),
    "tsm_r50": of_frames("tsm", "r50"),
    "tsm_r50_1x1x16": of_frames("tsm", "r50"),
    "tsm_r50_nl_dot_product": of_frames("tsm", "r50", non_local="dot_product"),
    "tsm_r50_nl_embedded_gaussian": of_frames("tsm", "r50", non_local="embedded_gaussian"),
    "tsm_r50_nl_gaussian": of_frames("tsm", "r50", non_local="gaussian"),
    "tsm_r50_temporal_pool": of_frames("tsm", "r50", pool_time=(3, 2, 1)),
    "tsm_r101_sthv2": of_frames("tsm", "r101"),
    "slowonly_r50_4x16": of_clips("slowonly", "r50"),
    "slowonly_r50_8x8": of_clips("slowonly", "r50"),
    "slowonly_r50_in1k_8x8": of_clips("slowonly", "r50"),
    "slowonly_r50_flow": of_clips("slowonly", "r50"),
    "slowonly_r50_nl_4x16": of_clips("slowonly", "r50", **SCALED),
    "slowonly_r50_nl_8x8": of_clips("slowonly", "r50", **SCALED),
    "slowonly_r101_8x8": of_clips("slowonly", "r101"),
    "slowfast_r50_4x16": of_clips("slowfast", "r50"),
    "slowfast_r50_8x8": of_clips("slowfast", "r50", alpha=4, fusion=7),
    "slowfast_r101_8x8": of_clips("slowfast", "r101", alpha=4, fusion=7),
    "slowfast_r101_r50_4x16": of_clips("slowfast", "r101-r50"),
    "stgcn_2d": of_skeletons("stgcn", "2d"),
    "stgcn_3d": of_skeletons("stgcn", "3d"),
    "stgcnpp_2d": of_skeletons("stgcnpp", "2d"),
    "stgcnpp_3d": of_skeletons("stgcnpp", "3d"),
}
