"""Goldens of Video Swin."""

from tests.parity.cases.case import Case, clips

QUICK = {"swin_tiny_w1677_odd"}


def swin(variant, **options):
    spec = dict(name="swin", variant=variant, **options)
    train = dict(dropout=0.0, drop_path=0.0)
    return Case(spec, clips, "n t h w c -> n c t h w", train=train)


CASES = {
    "swin_tiny": swin("tiny"),
    "swin_small": swin("small"),
    "swin_base": swin("base"),
    "swin_large": swin("large"),
    "swin_base_w1677_sthv2": swin("base", window=(16, 7, 7)),
    "swin_tiny_w1677_odd": swin("tiny", window=(16, 7, 7)),
}
