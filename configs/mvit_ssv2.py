"""MViT v2 on Something-Something v2: frames of the whole video, 100 epochs, 1 clip x 3 crops.

Variants: small_u16 (top-1 68.2), which starts from the MViT v2-S of Kinetics-400, base_u32 (70.8)
and large_u40 (73.2). The recipes are those of MMAction2, in which nothing is mirrored. MViT-L has
tables of relative positions for 312 pixels, and resizes them to clips of 224 pixels.
"""

from configs import base, datasets
from configs.mvit_k400 import MIX, PIXELS, cosine, mvit_run

# Frames, drop path, epochs in which the cosine falls.
RECIPES = {
    "small_u16": (16, 0.2, 100.0),
    "base_u32": (32, 0.3, 70.0),
    "large_u40": (40, 0.75, 70.0),
}


def get_config(variant="small_u16"):
    frames, drop_path, period = base.pick(RECIPES, variant)
    size = variant.partition("_")[0]
    clip = dict(frames=frames, sampler=("uniform",), crops=3)
    pixels = {} if size == "small" else PIXELS
    c = mvit_run(size, datasets.something(), drop_path, 64, pixels, **clip)
    c.epochs, c.eval_every = 100.0, 3.0
    c.schedule = cosine(30.0, period, 0.1)
    if size == "small":
        c.optim.decay_scale = base.NO_DECAY_OF_VECTORS
        c.init.weights = "mvit_small_16x4_converted_k400"
        c.init.skip = ("head/.*",)
    else:
        c.task.augment.update(MIX)
    if size == "large":
        c.model.resize = True
    return c
