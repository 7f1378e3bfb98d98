"""TANet-R50 on Kinetics-400 (top-1 76.25): 8 frames of a random window, 10 windows x 3 crops."""

from configs import base, datasets, tsm_k400
from jaxvid import plug

PIXELS = dict(mean=(123.675, 116.28, 103.5))  # as published, also where others have 103.53


def get_config():
    c = base.config()
    c.epochs = 100.0
    c.batch = 64
    c.model = dict(name="tanet", variant="r50", frames=8, dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), **PIXELS)
    c.data = datasets.kinetics(400)
    views = dict(sampler=("dense",), clips=10, crops=3, test_size=256)
    c.data.recipe = plug.spec("data.recipes", "segments", frames=8, crop=("scales", 13), **views)
    c.init.weights = "tsn_r50_v1_in1k"
    c.init.skip = ("head/.*", ".*/tam/.*")
    c.optim = base.sgd(0.01, 64, clip=20.0, **tsm_k400.groups())
    c.schedule = base.multistep(50.0, 75.0, 90.0)
    c.eval_every = 5.0
    return c
