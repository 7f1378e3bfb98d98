"""Goldens of transformers that pool their tokens: MViT and Hiera."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxvid import plug
from jaxvid.models.hiera_pretrain import MaskedAutoEncoder
from jaxvid.tasks.masked import Masked
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


class WithTargets(MaskedAutoEncoder):
    """The predictions for hidden patches, and what they should be."""

    def __call__(self, video, visible, hidden, *, train):
        out = super().__call__(video, visible, hidden, train=train)
        task = Masked(num_classes=0, unit=(1, 2, 2), frame_step=2, target="patch")
        return out, task.targets({"video": video[:, None], "hidden": hidden[:, None]})


def masked(dtype=np.float32):
    net = plug.load("models", dict(name="hiera_pretrain", variant="base"), dtype=dtype)
    return WithTargets(net.backbone, net.decoder)


def video_and_units(x):
    """In evaluation, the golden has the units; in training, they follow from a rule."""
    if isinstance(x, dict):
        x, kept = x["video"], x["keep_units"][0]
    else:
        kept = np.zeros(392, bool)
        kept[np.random.default_rng(8).permutation(392)[: int(0.4 * 392)]] = True
    order = jnp.argsort(-1 * kept, stable=True)[None]
    units = dict(visible=order[:, :156], hidden=order[:, 156:])
    return {"video": rearrange(x, "n c t h w -> n t h w c"), **units}


def squared_error(out):
    return ((out[0] - out[1]) ** 2).mean()


def restored(out):
    (pred, label), loss = out, squared_error(out)
    first = dict(pred_first=pred[0, :16], label_first=label[0, :16])
    return first | dict(pred_mean=pred[0].mean(0), loss=loss)


HIERA_MASKED = Case(
    dict(name="hiera_pretrain", variant="base"),
    video_and_units,
    "n u i j c -> n u i j c",
    upstream="official",
    train={},
    loss=squared_error,
    outputs=restored,
    make=masked,
)
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
    "hiera_base_16x224_mae": HIERA_MASKED,
    "mvit_small": mvit("small"),
    "mvit_base": mvit("base"),
    "mvit_large": mvit("large"),
    "mvit_large_small_input": mvit("large", resize=True),
    "mvit_small_maskfeat": mvit("small", widen="mlp"),
    "mvit_small_sthv2": mvit("small"),
    "mvit_base_sthv2": mvit("base"),
}
