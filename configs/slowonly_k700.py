"""SlowOnly-R50 on Kinetics-700 from image weights: r50_4x16 (top-1 65.52), r50_8x8 (67.67)."""

from configs import base, datasets, slowonly_k400
from jaxvid import plug

RECIPES = {"r50_4x16": (4, 16), "r50_8x8": (8, 8)}


def get_config(variant="r50_4x16"):
    frames, stride = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 150.0
    c.batch = 256
    c.model = dict(name="slowonly", variant="r50", dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5))
    c.data = datasets.kinetics(700)
    c.data.recipe = plug.spec(
        "data.recipes", "clip", frames=frames, stride=stride, clips=10, crops=3, test_size=256
    )
    c.init.weights = "tsn_r50_in1k"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.04, 256)
    c.schedule = dict(slowonly_k400.STEPS)
    c.eval_every = 5.0
    return c
