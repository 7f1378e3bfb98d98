"""TSN on Something-Something v2, 50 epochs; variants r50_u8 (top-1 35.51) and r50_u16 (36.91).

A mirror swaps the classes that differ in left and right.
"""

from configs import base, datasets
from jaxvid import plug

# frames and crop in training
RECIPES = {"r50_u8": (8, ("scales",)), "r50_u16": (16, ("scales", 13))}


def get_config(variant="r50_u8"):
    frames, crop = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 50.0
    c.batch = 256
    c.model = dict(name="tsn", variant="r50", dropout=0.5, remat=False)
    mirror = dict(flip=0.5, flip_labels=datasets.SSV2_MIRROR)
    c.task = plug.spec("tasks", "recognition", augment=mirror, average="score")
    c.data = datasets.something()
    c.data.recipe = plug.spec(
        "data.recipes", "segments", frames=frames, test_frames=25, crop=crop, crops=10
    )
    c.init.weights = "tsn_r50_in1k"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.01, 256)
    c.schedule = base.multistep(20.0, 40.0)
    c.eval_every = 5.0
    return c
