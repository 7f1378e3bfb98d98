"""SlowFast with an action head on AVA 2.2: boxes of key frames, 10 epochs from Kinetics weights.

Variants: r50_8x8 (mAP 25.90), r50_8x8_tmax (26.41, the maximum over time instead of the average),
r50_8x8_tmax_focal (26.65, with a focal loss, too).
"""

from configs import base, datasets

# pool over time, focal loss
RECIPES = {
    "r50_8x8": ("avg", (1.0, 0.0)),
    "r50_8x8_tmax": ("max", (1.0, 0.0)),
    "r50_8x8_tmax_focal": ("max", (3.0, 1.0)),
}


def get_config(variant="r50_8x8"):
    pool, focal = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 10.0
    c.batch = 48
    c.model = dict(
        name="fast_rcnn",
        backbone=dict(name="slowfast", variant="r50", strides=(1, 2, 2, 1), alpha=4, fusion=7),
        background=True,
        pool=pool,
        dropout=0.5,
    )
    c.task = datasets.ava_task(focal=focal)
    c.data = datasets.ava("2.2", 32, 2)
    c.init.weights = "slowfast_r50_8x8_k400"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.075, 48, weight_decay=1e-5)
    c.schedule = dict(name="cosine", begin=2.0, warmup=2.0, warmup_factor=0.1)
    c.best = "val/map"
    return c
