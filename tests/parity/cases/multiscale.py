"""Goldens of transformers that pool their tokens: MViT and Hiera."""

from dataclasses import replace

from tests.parity.cases.case import of_clips


def mvit(variant, **options):
    """Upstream's backbone gives a tuple with the feature map and the class token."""
    train = dict(dropout=0.0, drop_path=0.0)
    about = dict(in_tuple=True, train=train, smoothing=0.1)
    return replace(of_clips("mvit", variant, **options), **about)


CASES = {
    "mvit_small": mvit("small"),
    "mvit_base": mvit("base"),
    "mvit_large": mvit("large"),
    "mvit_large_small_input": mvit("large", resize=True),
    "mvit_small_maskfeat": mvit("small", widen="mlp"),
    "mvit_small_sthv2": mvit("small"),
    "mvit_base_sthv2": mvit("base"),
}
