"""UMT on Kinetics-400, from Kinetics-710: 8 frames of the whole video, 5 epochs, 4 clips x 3 crops.

Variants: base (top-1 87.33) and large (90.21), by the recipes of the official repository.
"""

from ml_collections import ConfigDict

from configs import base, datasets
from configs.videomae_k400 import adamw
from jaxvid import plug

# Learning rate for a batch of 256, drop path, layer-wise decay, number of blocks.
RECIPES = {"base": (4e-5, 0.1, 0.75, 12), "large": (2e-5, 0.2, 0.85, 24)}


def umt_run(variant: str, data: dict) -> ConfigDict:
    """Return the run of UMT on a data set of Kinetics, as its authors train all of them."""
    lr, drop_path, decay, depth = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 5.0
    c.batch = 256
    c.model = dict(name="umt", variant=variant, drop_path=drop_path, dropout=0.0, remat=False)
    augment = dict(flip=0.5, erasing=0.25, mixup=0.8, cutmix=1.0)
    pixels = dict(mean=(114.75,), std=(57.375,))
    c.task = plug.spec("tasks", "recognition", smoothing=0.1, augment=augment, **pixels)
    c.data = data
    frames = dict(frames=8, stride=1, sampler=("uniform", True), size=224, clips=4, crops=3)
    policy = dict(policy=("randaugment_noisy", 4, 7.0), policy_first=True, repeats=2)
    c.data.recipe = plug.spec("data.recipes", "clip", **frames, **policy)
    c.init.weights = f"umt_{variant}_u8_k710"
    c.init.match_classes = True
    c.optim = adamw(lr, base.layer_decay(decay, depth))
    warmup = dict(begin=1.0, warmup=1.0, warmup_by="step", warmup_factor=2e-6 / lr)
    c.schedule = dict(name="cosine", by="step", final=2e-6 / lr, **warmup)
    return c


def get_config(variant="base"):
    return umt_run(variant, datasets.kinetics(400))
