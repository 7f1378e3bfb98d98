"""SlowFast with an action head on AVA 2.1: boxes of key frames, 20 epochs from Kinetics weights.

Variants: r50_4x16 (mAP 24.32), r50_4x16_context (25.34, with features of the whole frame), r50_8x8
(25.80).
"""

from configs import base, datasets

# ratio of the pathways' frames, frames a lateral convolution spans, learning rate, batch
RECIPES = {
    "r50_4x16": (8, 5, 0.2, 128),
    "r50_4x16_context": (8, 5, 0.2, 128),
    "r50_8x8": (4, 7, 0.1, 64),
}


def get_config(variant="r50_4x16"):
    alpha, fusion, lr, batch = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 20.0
    c.batch = batch
    c.model = dict(
        name="fast_rcnn",
        backbone=dict(
            name="slowfast", variant="r50", strides=(1, 2, 2, 1), alpha=alpha, fusion=fusion
        ),
        background=True,
        context=variant.endswith("_context"),
        dropout=0.5,
    )
    c.task = datasets.ava_task()
    c.data = datasets.ava("2.1", 32, 2)
    c.init.weights = f"slowfast_{variant.removesuffix('_context')}_k400"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(lr, batch, weight_decay=1e-5)
    c.schedule = base.multistep(10.0, 15.0, warmup=5.0)
    c.best = "val/map"
    return c
