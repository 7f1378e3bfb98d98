"""Goldens of UniFormer and UniFormerV2."""

from dataclasses import replace

from tests.parity.cases.case import Case, clips, of_clips


def uniformer(variant):
    train = dict(dropout=0.0, drop_path=0.0)
    return replace(of_clips("uniformer", variant), train=train)


def uniformerv2(variant):
    spec = dict(name="uniformerv2", variant=variant)
    train = dict(dropout=0.0, reader_dropout=0.0)
    return Case(spec, clips, "n t h w c -> n (t h w c)", train=train)


CASES = {
    "uniformer_small": uniformer("small"),
    "uniformer_base": uniformer("base"),
    "uniformer_base_32": uniformer("base"),
    "uniformerv2_b16_k400": uniformerv2("base"),
    "uniformerv2_b16_k710pre_k400": uniformerv2("base"),
    "uniformerv2_b16_mitv1": uniformerv2("base"),
    "uniformerv2_l14_k400_u8": uniformerv2("large"),
}
