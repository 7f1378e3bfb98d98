"""A classifier on the frozen encoder of VideoPrism, on Kinetics-400.

Variants: base (16 frames), large (8 frames), spread over the whole video, 288 pixels.

The authors report a top-1 of 82.9 and 85.0 of such classifiers without a full recipe. The
optimizer, the schedule and the augmentation here are ours.
"""

from configs import base, datasets
from jaxvid import plug

FRAMES = {"base": 16, "large": 8}


def get_config(variant="base"):
    frames = base.pick(FRAMES, variant)
    c = base.config()
    c.epochs = 20.0
    c.batch = 128
    c.model = dict(name="videoprism", variant=variant, remat=False)
    pixels = dict(mean=(0.0,) * 3, std=(255.0,) * 3)
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), **pixels)
    c.data = datasets.kinetics(400)
    clip = dict(frames=frames, stride=1, sampler=("uniform",), size=288, short_side=288)
    crop = dict(crop=("resized", (0.3, 1.0)), crops=3)
    c.data.recipe = plug.spec("data.recipes", "clip", **clip, **crop)
    c.init.weights = "published"
    c.optim = dict(name="adamw", lr=1e-3, base_batch=128, weight_decay=0.05, clip=1.0)
    c.optim.update(freeze=("backbone/.*",), decay_scale=base.NO_DECAY_OF_VECTORS)
    c.schedule = dict(name="cosine", warmup=1.0)
    return c
