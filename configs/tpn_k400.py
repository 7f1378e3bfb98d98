"""TPN on SlowOnly-R50 on Kinetics-400: clips of 8 x 8 frames, 150 epochs, 10 clips x 3 crops.

Variants: slowonly_r50_8x8 (top-1 74.20, from scratch), slowonly_r50_8x8_in1k (76.74, from
ImageNet). An auxiliary classifier has half the weight of the other in the loss.
"""

from configs import base, datasets
from jaxvid import plug

RECIPES = {"slowonly_r50_8x8": "", "slowonly_r50_8x8_in1k": "tsn_r50_v1_in1k"}


def get_config(variant="slowonly_r50_8x8_in1k"):
    weights = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 150.0
    c.batch = 64
    c.model = dict(name="tpn", backbone=dict(name="slowonly", variant="r50"), dropout=0.5)
    augment = dict(flip=0.5, color=(0.5, 0.5, 0.5, 0.1))
    c.task = plug.spec("tasks", "recognition", augment=augment, auxiliary=0.5)
    c.data = datasets.kinetics(400)
    views = dict(clips=10, crops=3, test_size=256)
    c.data.recipe = plug.spec("data.recipes", "clip", frames=8, stride=8, **views)
    c.init.weights = weights
    c.init.skip = ("neck/.*", "head/.*") if weights else ()
    c.optim = base.sgd(0.01, 64) | dict(nesterov=True)
    c.schedule = base.multistep(75.0, 125.0)
    c.eval_every = 10.0
    return c
