"""Goldens of TimeSformer and ViViT, as MMAction2 and transformers have them."""

from einops import rearrange

from tests.parity.cases.case import Case, clips

QUIET = dict(dropout=0.0, drop_path=0.0)


def timesformer(variant):
    spec = dict(name="timesformer", variant=variant)
    return Case(spec, clips, "n t h w c -> n (t h w c)", train=QUIET)


def frames(x):
    return {"video": rearrange(x, "n t c h w -> n t h w c")}


def hugging_face(name, variant, **options):
    """A model of transformers, whose tokens are compared, the class token first."""
    spec = dict(name=name, variant=variant, **options)
    about = dict(upstream="transformers", train=QUIET, tokens="norm")
    return Case(spec, frames, "n t c -> n t c", **about)


CASES = {
    "timesformer_divST": timesformer("divst"),
    "timesformer_jointST": timesformer("jointst"),
    "timesformer_spaceOnly": timesformer("spaceonly"),
    "timesformer_hf_divST": hugging_face("timesformer", "divst"),
    "timesformer_hf_joint_l4": hugging_face("timesformer", "jointst", depth=4),
    "vivit_base": hugging_face("vivit", "base"),
    "vivit_l4": hugging_face("vivit", "base", depth=4, frames=16, size=160),
}
