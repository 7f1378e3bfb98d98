"""R(2+1)D-34 on Kinetics-400 from random values: 180 epochs, tested on 10 clips x 3 crops.

Variants: r34_8x8 (top-1 69.76) and r34_32x2 (75.46).
"""

from configs import base, datasets
from jaxvid import plug

# frames and stride
RECIPES = {"r34_8x8": (8, 8), "r34_32x2": (32, 2)}


def get_config(variant="r34_8x8"):
    frames, stride = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 180.0
    c.batch = 64
    c.model = dict(name="r2plus1d", variant="r34", dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5))
    c.data = datasets.kinetics(400)
    views = dict(clips=10, crops=3, test_size=256)
    c.data.recipe = plug.spec("data.recipes", "clip", frames=frames, stride=stride, **views)
    c.optim = base.sgd(0.01, 64)
    c.schedule = dict(name="cosine", by="epoch")
    c.eval_every = 20.0
    return c
