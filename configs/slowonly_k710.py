"""SlowOnly-R50 on Kinetics-710, 8 frames at stride 8, from image weights (top-1 72.39)."""

from configs import base, datasets, slowonly_k400
from jaxvid import plug


def get_config():
    c = base.config()
    c.epochs = 150.0
    c.batch = 256
    c.model = dict(name="slowonly", variant="r50", dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5))
    c.data = datasets.kinetics710()
    c.data.recipe = plug.spec(
        "data.recipes", "clip", frames=8, stride=8, clips=10, crops=3, test_size=256
    )
    c.init.weights = "tsn_r50_in1k"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.04, 256)
    c.schedule = dict(slowonly_k400.STEPS)
    c.eval_every = 5.0
    return c
