"""Goldens of UniFormer."""

from dataclasses import replace

from tests.parity.cases.case import of_clips


def uniformer(variant):
    train = dict(dropout=0.0, drop_path=0.0)
    return replace(of_clips("uniformer", variant), train=train)


CASES = {
    "uniformer_small": uniformer("small"),
    "uniformer_base": uniformer("base"),
    "uniformer_base_32": uniformer("base"),
}
