"""Goldens of networks that classify the actions of people in boxes."""

from dataclasses import replace

import numpy as np
from einops import rearrange

from tests.parity.cases.case import Case

QUICK = {"ava_slowonly_r50_4x16"}


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


def beside(case, model, **others):
    """A case with another head, whose inputs are those of `case` and `others`."""
    model = dict(case.model, **model)
    return replace(case, model=model, inputs=lambda x: key_frames(x) | others)


# Of 60 seconds with 5 people each.
BANK = np.random.default_rng(99).standard_normal((1, 300, 2048)).astype(np.float32)
RICH = dict(context=True, pool="max", mlp=True)
CASES = {
    "ava_slowonly_r50_4x16": of_boxes("slowonly", "r50"),
    "ava_slowonly_r50_nl": of_boxes(
        "slowonly", "r50", non_local="embedded_gaussian", non_local_scale=True
    ),
    "ava_slowonly_r101": of_boxes("slowonly", "r101"),
    "ava_slowfast_r50_4x16": of_boxes("slowfast", "r50"),
    "ava_slowfast_r50_8x8": of_boxes("slowfast", "r50", alpha=4, fusion=7),
    "ava_slowfast_r50_temporal_max": of_boxes(
        "slowfast", "r50", dict(pool="max"), alpha=4, fusion=7
    ),
    "ava_slowfast_r50_multisports": of_boxes("slowfast", "r50"),
    "ava_slowfast_r50_context": of_boxes("slowfast", "r50", dict(context=True)),
    "ava_lfb_nl": beside(of_boxes("slowonly", "r50"), model=dict(name="lfb"), bank=BANK),
    "ava_lfb_max": beside(
        of_boxes("slowonly", "r50"), model=dict(name="lfb", operator="max"), bank=BANK
    ),
    "ava_slowfast_acrn": beside(
        of_boxes("slowfast", "r50", alpha=4, fusion=7),
        model=dict(name="acrn"),
        valid=np.ones((1, 5), bool),
    ),
    "ava_slowonly_context_tmax_mlp": of_boxes("slowonly", "r50", RICH),
    "ava_slowonly_16x4_tricks": of_boxes("slowonly", "r50", RICH),
}
