"""TANet-R50 on Something-Something v1, 50 epochs.

Variants: r50_u8 (top-1 49.71, tested on two clips x 3 crops of 256), r50_u16 (50.95, one crop of
224). A mirror swaps the classes that differ in left and right.
"""

from configs import base, datasets, tanet_k400, tsm_k400
from jaxvid import plug

# frames, batch, views in test
RECIPES = {
    "r50_u8": (8, 64, dict(clips=2, crops=3, test_size=256)),
    "r50_u16": (16, 48, dict(clips=1, crops=1)),
}


def get_config(variant="r50_u8"):
    frames, batch, views = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 50.0
    c.batch = batch
    c.model = dict(name="tanet", variant="r50", frames=frames, dropout=0.6, remat=False)
    mirror = dict(flip=0.5, flip_labels=datasets.SSV1_MIRROR)
    c.task = plug.spec("tasks", "recognition", augment=mirror, **tanet_k400.PIXELS)
    c.data = datasets.something1()
    c.data.recipe = plug.spec(
        "data.recipes", "segments", frames=frames, crop=("scales", 13), **views
    )
    c.init.weights = "tsn_r50_v1_in1k"
    c.init.skip = ("head/.*", ".*/tam/.*")
    lr = 0.01 * batch / 64
    c.optim = base.sgd(lr, batch, weight_decay=1e-3, clip=20.0, **tsm_k400.groups())
    c.schedule = base.multistep(30.0, 40.0, 45.0)
    return c
