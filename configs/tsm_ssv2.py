"""TSM on Something-Something v2, 50 epochs, tested on two clips x 3 crops of 256.

Variants: r50_u8 (top-1 62.72), r50_u16 (64.16), r101_u8 (63.70). A mirror swaps the classes that
differ in left and right.
"""

from configs import base, datasets, tsm_k400
from jaxvid import plug

RECIPES = {"r50_u8": ("r50", 8), "r50_u16": ("r50", 16), "r101_u8": ("r101", 8)}


def get_config(variant="r50_u8"):
    depth, frames = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 50.0
    c.batch = 128
    c.model = dict(name="tsm", variant=depth, dropout=0.5, remat=False)
    mirror = dict(flip=0.5, flip_labels=datasets.SSV2_MIRROR)
    c.task = plug.spec("tasks", "recognition", augment=mirror)
    c.data = datasets.something()
    views = dict(clips=2, crops=3, test_size=256)
    c.data.recipe = plug.spec(
        "data.recipes", "segments", frames=frames, crop=("scales", 13), **views
    )
    c.init.weights = f"tsn_{depth}_v1_in1k"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.02, 128, weight_decay=5e-4, clip=20.0, **tsm_k400.groups())
    c.schedule = base.multistep(25.0, 45.0, warmup=5.0)
    return c
