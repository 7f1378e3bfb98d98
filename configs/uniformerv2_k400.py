"""UniFormerV2 on Kinetics-400: 8, 16 or 32 frames of the whole video, tested on 4 clips x 3 crops.

Variants: base_u8_clip (top-1 84.3), which starts from CLIP and trains for 55 epochs, and base_u8
(85.8), which starts from Kinetics-710, with the head of its own classes, and trains for 5. Of
large_u8 (88.7), large_u16 (89.0), large_u32 (89.3) and large-336_u32 (89.5, on 2 clips), MMAction2
published the weights and their test; the training is that of base_u8.
"""

from ml_collections import ConfigDict

from configs import base, datasets
from jaxvid import plug

VARIANTS = ("base_u8_clip", "base_u8", "large_u8", "large_u16", "large_u32", "large-336_u32")
# Norms and biases have no decay. Upstream's rule overlooks the joint biases of attention.
DECAY = ((".*/(qkv|q|kv)/bias", 1.0), (".*/(bias|scale)", 0.0))


def uniformerv2_run(variant: str, data: dict) -> ConfigDict:
    """Return the run of a UniFormerV2 on one of the sets of Kinetics.

    Args:
      variant: Variant of the model, frames, and "clip" to start from CLIP and not from
        Kinetics-710, such as "base_u8_clip".
      data: A data set.
    """
    size, sampling, *start = variant.split("_")
    c = from_clip(size, data) if start else from_k710(size, data)
    c.data.recipe.frames = int(sampling[1:])
    if variant == "large-336_u32":
        c.data.recipe.clips = 2
    return c


def common(size: str, data: dict) -> ConfigDict:
    """Return the keys that all runs share."""
    c = base.config()
    c.batch = 256
    c.model = dict(name="uniformerv2", variant=size, dropout=0.5, remat=size != "base")
    pixels = dict(mean=(114.75,), std=(57.375,))
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), **pixels)
    c.data = data
    c.data.recipe = plug.spec(
        "data.recipes",
        "clip",
        frames=8,
        stride=1,
        sampler=("uniform", True),
        size=336 if size == "large-336" else 224,
        short_side=384 if size == "large-336" else 256,
        policy=("randaugment_noisy", 4, 7.0),
        policy_first=True,
        clips=4,
        crops=3,
    )
    rates = dict(lr=1e-5, base_batch=256, weight_decay=0.05, clip=20.0)
    c.optim = dict(name="adamw", **rates, decay_scale=DECAY)
    return c


def from_clip(size: str, data: dict) -> ConfigDict:
    """Return a run that starts from the vision transformer of CLIP."""
    c = common(size, data)
    c.epochs = 55.0
    c.schedule = cosine(5.0, 0.1)
    c.init.weights = f"uniformerv2_{size}_wit"
    new = "reader.*|pos_embed.*|video_embedding|balance|norm/.*"
    c.init.skip = ("head/.*", f"backbone/({new})")
    return c


def from_k710(size: str, data: dict) -> ConfigDict:
    """Return a run that starts from Kinetics-710, with the head of its own classes."""
    c = common(size, data)
    c.epochs = 5.0
    c.optim.lr = 2e-6
    c.schedule = cosine(1.0, 0.5)
    c.init.weights = f"uniformerv2_{size}_u8_k710"
    c.init.match_classes = True
    return c


def cosine(warmup: float, share: float) -> dict:
    """Return a schedule that rises from a share of the rate, and falls to it by a cosine."""
    return dict(name="cosine", begin=warmup, warmup=warmup, warmup_factor=share, final=share)


def get_config(variant="base_u8"):
    base.pick(dict.fromkeys(VARIANTS), variant)
    return uniformerv2_run(variant, datasets.kinetics(400))
