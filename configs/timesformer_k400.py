"""TimeSformer on Kinetics-400: clips of 8 frames at stride 32, 15 epochs.

Variants are kinds of attention: divst (divided, top-1 77.69), jointst (joint, 76.95) and spaceonly
(76.93). All start from a ViT-B/16 of ImageNet-21K. The test has 1 clip x 3 crops.
"""

from configs import base, datasets
from jaxvid import plug

# What a model of images does not have.
RECIPES = {
    "divst": ("backbone/time_embed/.*", "backbone/.*/time_fc/.*"),
    "jointst": ("backbone/time_embed/.*",),
    "spaceonly": (),
}


def get_config(variant="divst"):
    new = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 15.0
    c.batch = 64
    c.model = dict(name="timesformer", variant=variant, drop_path=0.1, dropout=0.0, remat=False)
    pixels = dict(mean=(127.5,) * 3, std=(127.5,) * 3)
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), **pixels)
    c.data = datasets.kinetics(400)
    clip = dict(frames=8, stride=32, crop=("plain",), short_side_max=320, clips=1, crops=3)
    c.data.recipe = plug.spec("data.recipes", "clip", **clip)
    c.init.weights = "timesformer_spaceonly_in21k"
    c.init.skip = ("head/.*", *new)
    # Upstream names three tables that have no weight decay, with a typing error: all have it.
    c.optim = base.sgd(0.005, 64) | dict(nesterov=True)
    c.schedule = base.multistep(5.0, 10.0)
    return c
