"""Goldens of encoders that are trained without labels, and of classifiers on them."""

from dataclasses import replace

from einops import rearrange

from tests.parity.cases.case import Case


def videos(x):
    return {"video": rearrange(x, "n t c h w -> n t h w c")}


def encoder(name, variant, **options):
    spec = dict(name=name, variant=variant, **options)
    return Case(spec, videos, "n t h w c -> n (t h w) c", upstream="transformers", train={})


def vjepa2(**options):
    return replace(encoder("vjepa2", "vitl", **options), unused=r"vjepa2\.predictor\..*")


CASES = {
    "vjepa2_l4": vjepa2(depth=4),
    "vjepa2_vitl": vjepa2(),
}
