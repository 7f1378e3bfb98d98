"""Goldens of VideoMAE and of the networks that are built like it."""

from einops import rearrange

from tests.parity.cases.case import Case, clips

QUICK = {"videomaev2_small"}
TRAIN = dict(dropout=0.0, drop_path=0.0)


def of_mean(family, variant, **options):
    """Upstream's backbone gives the normalized mean of the tokens, which is in our head."""
    spec = dict(name=family, variant=variant, **options)
    return Case(spec, clips, "n c -> n c", tokens="head/fc_norm", train=TRAIN)


def hugging_face(variant, **options):
    spec = dict(name="videomae", variant=variant, epsilon=1e-12, norm_epsilon=1e-5, **options)
    return Case(
        spec,
        lambda x: {"video": rearrange(x, "n t c h w -> n t h w c")},
        "n t h w c -> n (t h w) c",
        upstream="transformers",
        train=TRAIN,
    )


CASES = {
    "videomae_base": of_mean("videomae", "base"),
    "videomae_large": of_mean("videomae", "large"),
    "videomaev2_small": of_mean("videomaev2", "small"),
    "videomaev2_base": of_mean("videomaev2", "base"),
    "videomae_hf_base": hugging_face("base"),
    "umt_base": of_mean("umt", "base"),
    "umt_large": of_mean("umt", "large"),
}
