"""SlowOnly with an action head on AVA 2.1: boxes of key frames, 20 epochs from Kinetics weights.

Variants: r50_4x16 (mAP 20.72), r50_4x16_k700 (22.77, from Kinetics-700), r50_4x16_nl (21.55, with
non-local blocks), r50_8x8_nl (23.77), r101_8x8 (24.83).
"""

from configs import base, datasets

GAUSSIAN = "embedded_gaussian"
# depth, frames, stride, weights, non-local
RECIPES = {
    "r50_4x16": ("r50", 4, 16, "slowonly_r50_4x16_in1k_k400", ""),
    "r50_4x16_k700": ("r50", 4, 16, "slowonly_r50_4x16_v1_k700", ""),
    "r50_4x16_nl": ("r50", 4, 16, "slowonly_r50_4x16_in1k-nl_k400", GAUSSIAN),
    "r50_8x8_nl": ("r50", 8, 8, "slowonly_r50_8x8_in1k-nl_k400", GAUSSIAN),
    "r101_8x8": ("r101", 8, 8, "slowonly_r101_8x8_k400", ""),
}


def get_config(variant="r50_4x16"):
    depth, frames, stride, weights, non_local = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 20.0
    c.batch = 128
    c.model = dict(
        name="fast_rcnn",
        backbone=dict(
            name="slowonly",
            variant=depth,
            strides=(1, 2, 2, 1),
            non_local=non_local,
            non_local_scale=bool(non_local),
        ),
        background=True,
        dropout=0.5,
    )
    c.task = datasets.ava_task()
    c.data = datasets.ava("2.1", frames, stride)
    c.init.weights = weights
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.2, 128, weight_decay=1e-5)
    c.schedule = base.multistep(10.0, 15.0, warmup=5.0)
    c.best = "val/map"
    return c
