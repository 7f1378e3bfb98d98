"""Layer-wise decay of the learning rate."""

import re

import pytest

from configs import base


@pytest.mark.parametrize(
    "path,scale",
    [
        ("backbone/patch_embed/kernel", 0.5**4),
        ("backbone/block0/attn/qkv/kernel", 0.5**3),
        ("backbone/block2/norm1/scale", 0.5),
        ("backbone/block12/norm1/scale", 1.0),  # not block 1
        ("backbone/norm/scale", 1.0),
        ("head/fc/kernel", 1.0),
    ],
)
def test_each_block_learns_faster_than_the_one_before(path, scale):
    rules = base.layer_decay(0.5, 3)
    assert next((v for pattern, v in rules if re.fullmatch(pattern, path)), 1.0) == scale


def test_families_name_their_blocks_and_what_precedes_them():
    rules = base.layer_decay(0.5, 2, block="backbone/(time|space){}/.*", first="backbone/cls")
    assert rules == (
        ("backbone/cls", 0.125),
        ("backbone/(time|space)0/.*", 0.25),
        ("backbone/(time|space)1/.*", 0.5),
    )


@pytest.mark.parametrize("path,decays", [("a/bias", False), ("a/scale", False), ("a/kernel", True)])
def test_vectors_have_no_decay(path, decays):
    (pattern, scale), *others = base.NO_DECAY_OF_VECTORS
    assert (scale, others) == (0.0, [])
    assert bool(re.fullmatch(pattern, path)) != decays
