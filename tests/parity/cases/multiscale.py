"""Goldens of transformers that pool their tokens: MViT and Hiera."""

from dataclasses import replace

from einops import rearrange

from tests.parity.cases.case import Case, of_clips


def mvit(variant, **options):
    """Upstream's backbone gives a tuple with the feature map and the class token."""
    train = dict(dropout=0.0, drop_path=0.0)
    about = dict(in_tuple=True, train=train, smoothing=0.1)
    return replace(of_clips("mvit", variant, **options), **about)


def hiera_stages(out, *stages):
    """Scores; means and first columns of the features of each stage, each (n, u, i, j, c)."""
    found = {"cls": out}
    for s, x in enumerate(sorted(stages, key=lambda x: x.shape[-1])):
        x = rearrange(x, "n (t u v) i j c -> n t (u i) (v j) c", t=8, u=7)
        found |= {f"stage{s}": x.mean((1, 2, 3)), f"stage{s}_first": x[:, 0, 0, :3]}
    return found


HIERA_BASE = Case(
    dict(name="hiera", variant="base"),
    lambda x: {"video": rearrange(x, "n c t h w -> n t h w c")},
    "n c -> n c",
    upstream="official",
    train=dict(drop_path=0.0),
    outputs=hiera_stages,
    tokens="head/norm",
    inner="block1 block4 block20 block23",
)
CASES = {
    "hiera_base_16x224": HIERA_BASE,
    "mvit_small": mvit("small"),
    "mvit_base": mvit("base"),
    "mvit_large": mvit("large"),
    "mvit_large_small_input": mvit("large", resize=True),
    "mvit_small_maskfeat": mvit("small", widen="mlp"),
    "mvit_small_sthv2": mvit("small"),
    "mvit_base_sthv2": mvit("base"),
}
