"""One row per golden: the model that reproduces it, and how its arrays stand in ours.

Shapes: n samples, v views, s segments (frames of a 2-D recogniser), c channels, t frames, h height,
w width, m people, j joints.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
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
      inner: name of a module inside; `outputs` is given what it gives, after what the model does.
      in_tuple: upstream's backbone gives its only feature map in a tuple.
      double: evaluate in float64, for models whose float32 noise hides errors.
      classes: number of classes of the model, if it is not the width of the golden's output.
      absolute: bound of max|a - b| for outputs whose spread is too small for a relative one.
    """

    model: Mapping[str, Any]
    inputs: Callable[[Any], dict[str, Any]]
    features: str
    upstream: str = "mmaction"
    train: Mapping[str, Any] = field(default_factory=lambda: dict(dropout=0.0))
    outputs: Callable[..., Any] = lambda out: out
    inner: str = ""
    in_tuple: bool = False
    double: bool = False
    absolute: float | None = None
    classes: int = 0


def segments(x):
    return {"video": rearrange(x, "n s c h w -> n s h w c")}


def clips(x):
    return {"video": rearrange(x, "n v c t h w -> (n v) t h w c")}


def people(x):
    return {"keypoint": rearrange(x, "n v m t j c -> (n v) m t j c")}


def spectrograms(x):
    return {"audio": rearrange(x, "n v c t f -> (n v) t f c")}


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


def key_frames(x):
    """The boxes of the goldens, as shares of the picture, and as their pixels."""
    shares = [
        (0.05, 0.08, 0.45, 0.85),
        (0, 0, 1, 1),
        (0.53, 0.015, 0.985, 0.61),
        (-0.03, -0.05, 0.2, 0.31),
        (0.31, 0.42, 0.36, 0.47),
    ]
    height, width = x.shape[-2:]
    boxes = np.float32(shares) * np.float32([width, height, width, height])
    return {"video": rearrange(x, "n c t h w -> n t h w c"), "boxes": boxes[None]}


def scores_and_features(out, rois):
    """Of the boxes of one picture."""
    return {
        "cls_score": out[0],
        "bbox_feat_mean": rois[0].mean((1, 2)),
        "bbox_feat_max": rois[0].max((1, 2)),
    }


def of_boxes(family, variant, head=None, **options):
    """An action head; in evaluation dropout gives on what it is given, the features of boxes."""
    backbone = dict(name=family, variant=variant, strides=(1, 2, 2, 1), **options)
    return Case(
        dict(name="fast_rcnn", backbone=backbone, **(head or {})),
        key_frames,
        "n t h w c -> n c t h w",
        outputs=scores_and_features,
        inner="dropout",
    )


def of_frames(name, variant, **options):
    """A 2-D recogniser."""
    spec = dict(name=name, variant=variant, **options)
    return Case(spec, segments, "n t h w c -> (n t) c h w")


def on_backbone(name, backbone, head=None, **about):
    """A 2-D recogniser on the backbone of another family."""
    spec = dict(name=name, backbone=backbone, **(head or {}))
    return Case(spec, segments, "n t h w c -> (n t) c h w", **about)


def of_clips(name, variant, **options):
    """A 3-D recogniser."""
    spec = dict(name=name, variant=variant, **options)
    return Case(spec, clips, "n t h w c -> n c t h w")


def images(x):
    return {"image": rearrange(x, "n c h w -> n h w c")}


def of_omni(inputs, features):
    """Both heads have parameters, whatever the golden's input is."""
    spec = dict(name="omnisource", variant="r50", image_classes=1000)
    return Case(spec, inputs, features, classes=400)


def of_skeletons(name, variant):
    return Case(dict(name=name, variant=variant), people, "n m t j c -> n m c t j")


def of_spectrograms(name, variant):
    """A recogniser of sounds."""
    return Case(dict(name=name, variant=variant), spectrograms, "n t f c -> n c t f")


def proposals(variant):
    spec = dict(name="bmn", variant=variant)
    return Case(spec, lambda x: {"feature": rearrange(x, "n c t -> n t c")}, "n t c -> n c t")


def swin(variant, **options):
    spec = dict(name="swin", variant=variant, **options)
    train = dict(dropout=0.0, drop_path=0.0)
    return Case(spec, clips, "n t h w c -> n c t h w", train=train)


# Goldens that .ci/run reproduces: every kind of network, with options and training among them. The
# others take minutes.
QUICK = {
    "swin_tiny",
    "swin_tiny_w1677_odd",
    "tsm_r50_nl_gaussian",
    "tsm_r50_temporal_pool",
    "c2d_r50",
    "slowonly_r50_nl_4x16",
    "slowfast_r50_4x16",
    "stgcnpp_2d",
    "bmn_400",
    "ava_slowonly_r50_4x16",
}


def of_pyramid(family, inputs, features):
    """A recogniser with a pyramid of the last two stages, and an auxiliary classifier."""
    spec = dict(name="tpn", backbone=dict(name=family, variant="r50"))
    return Case(spec, inputs, features, outputs=lambda out: out[0])


TPN_TSM = of_pyramid("tsm", segments, "n t h w c -> (n t) c h w")
TPN_SLOWONLY = of_pyramid("slowonly", clips, "n t h w c -> n c t h w")
SCALED = dict(non_local="embedded_gaussian", non_local_scale=True)
RESNEXT = dict(name="resnext", variant="r101-32x4d")
DENSENET = dict(name="densenet", variant="161", relu=False)
SWIN = dict(name="swin2d", variant="base")
MOBILENET = dict(name="mobilenetv2", variant="w100")
MOBILEONE = dict(name="mobileone", variant="s4")
DEPLOYED = dict(MOBILEONE, deploy=True)
RICH = dict(context=True, pool="max", mlp=True)
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
    "tsn_r18_audio": of_spectrograms("tsn", "r18-audio"),
    "audioonly_r50": of_spectrograms("audioonly", "r50"),
    "tsm_r50": of_frames("tsm", "r50"),
    "tsm_r50_1x1x16": of_frames("tsm", "r50"),
    "tsm_r50_nl_dot_product": of_frames("tsm", "r50", non_local="dot_product"),
    "tsm_r50_nl_embedded_gaussian": of_frames("tsm", "r50", non_local="embedded_gaussian"),
    "tsm_r50_nl_gaussian": of_frames("tsm", "r50", non_local="gaussian"),
    "tsm_r50_temporal_pool": of_frames("tsm", "r50", pool_time=(3, 2, 1)),
    "tsm_r101_sthv2": of_frames("tsm", "r101"),
    "tsn_rn101_32x4d": on_backbone("tsn", RESNEXT, in_tuple=True),
    "tsn_dense161": on_backbone("tsn", DENSENET),
    "tsn_swin": on_backbone("tsn", SWIN),
    "tsn_mobileone_s4": on_backbone("tsn", MOBILEONE, in_tuple=True, double=True),
    "tsn_mobileone_s4_deploy": on_backbone("tsn", DEPLOYED, in_tuple=True),
    "tsm_mobilenetv2": on_backbone("tsm", MOBILENET),
    "tsm_mobileone_s4": on_backbone("tsm", MOBILEONE, dict(span=8), double=True),
    "tsm_mobileone_s4_deploy": on_backbone("tsm", DEPLOYED, dict(span=8)),
    "c2d_r50": of_clips("c2d", "r50"),
    "c2d_r50_16x4": of_clips("c2d", "r50"),
    "c2d_r50_nopool": of_frames("c2d", "r50", pool=False),
    "c2d_r101_nopool": of_frames("c2d", "r101", pool=False),
    "c3d": replace(of_clips("c3d", "base"), features="n t h w c -> n (t h w c)"),
    "i3d_r50": of_clips("i3d", "r50"),
    "i3d_r50_heavy": of_clips("i3d", "r50", heavy=True),
    "i3d_r50_nl_dot_product": of_clips("i3d", "r50", non_local="dot_product"),
    "i3d_r50_nl_embedded_gaussian": of_clips("i3d", "r50", non_local="embedded_gaussian"),
    "i3d_r50_nl_gaussian": of_clips("i3d", "r50", non_local="gaussian"),
    "r2plus1d_r34": of_clips("r2plus1d", "r34"),
    "ipcsn_r152": of_clips("csn", "ip152"),
    "ircsn_r152": of_clips("csn", "ir152"),
    "ircsn_r152_bnfrozen": of_clips("csn", "ir152", bn_frozen=True),
    "ircsn_r50": of_clips("csn", "ir50"),
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
    "tanet_r50": of_frames("tanet", "r50"),
    "tanet_r50_16f": of_frames("tanet", "r50", frames=16),
    "tin_r50": of_frames("tin", "r50"),
    "tin_tsm_r50": of_frames("tin", "r50"),
    "trn_r50": of_frames("trn", "r50"),
    "tpn_tsm_r50": TPN_TSM,
    "tpn_tsm_r50_fcn_test": TPN_TSM,
    "tpn_slowonly_r50": TPN_SLOWONLY,
    "tpn_slowonly_r50_fcn_test": TPN_SLOWONLY,
    "x3d_s": of_clips("x3d", "s"),
    "x3d_m": of_clips("x3d", "m"),
    "omnisource_slowonly_r50_video": of_omni(lambda x: clips(x[:, None]), "n t h w c -> n c t h w"),
    "omnisource_slowonly_r50_image": of_omni(images, "n h w c -> n c h w"),
    "stgcn_2d": of_skeletons("stgcn", "2d"),
    "stgcn_3d": of_skeletons("stgcn", "3d"),
    "stgcnpp_2d": of_skeletons("stgcnpp", "2d"),
    "stgcnpp_3d": of_skeletons("stgcnpp", "3d"),
    "clip4clip_vitb32": two_towers("clip4clip", "vitb32"),
    "actionclip_vitb32_8": two_towers("actionclip", "vitb32"),
    "actionclip_vitb16_16": two_towers("actionclip", "vitb16", frames=16),
    "bmn_400": proposals("400"),
    "bmn_2048": proposals("2048"),
    "ava_slowonly_r50_4x16": of_boxes("slowonly", "r50"),
    "ava_slowonly_r50_nl": of_boxes("slowonly", "r50", **SCALED),
    "ava_slowonly_r101": of_boxes("slowonly", "r101"),
    "ava_slowfast_r50_4x16": of_boxes("slowfast", "r50"),
    "ava_slowfast_r50_8x8": of_boxes("slowfast", "r50", alpha=4, fusion=7),
    "ava_slowfast_r50_temporal_max": of_boxes(
        "slowfast", "r50", dict(pool="max"), alpha=4, fusion=7
    ),
    "ava_slowfast_r50_multisports": of_boxes("slowfast", "r50"),
    "ava_slowfast_r50_context": of_boxes("slowfast", "r50", dict(context=True)),
    "ava_slowonly_context_tmax_mlp": of_boxes("slowonly", "r50", RICH),
    "ava_slowonly_16x4_tricks": of_boxes("slowonly", "r50", RICH),
}
