"""SlowOnly with an action head on AVA-Kinetics, tested on AVA 2.2: boxes of key frames, 10 epochs.

Variants: r50_4x16 (mAP 24.53) and r50_8x8 (26.10) start from Kinetics-400, all others from
Kinetics-700: r50_4x16_k700 (25.87), r50_8x8_k700 (27.82), r50_8x8_context (28.31, with features of
the whole frame), r50_8x8_tmax (28.48, and the maximum over time), r50_8x8_mlp (29.83, and a hidden
layer), r50_8x8_focal (30.33, and a focal loss), and r50_16x4 (31.29, all of these on 16 frames).
"""

from configs import base, datasets

FRAMES = {4: 16, 8: 8, 16: 4}  # of a clip, and the distance between them
CONTEXT = dict(context=True)
TMAX = dict(CONTEXT, pool="max")
MLP = dict(TMAX, mlp=True)
# frames, weights, options of the head, gamma of the focal loss
RECIPES = {
    "r50_4x16": (4, "slowonly_r50_4x16_in1k_k400", {}, 0.0),
    "r50_4x16_k700": (4, "slowonly_r50_8x8_k700", {}, 0.0),
    "r50_8x8": (8, "slowonly_r50_8x8_in1k_k400", {}, 0.0),
    "r50_8x8_k700": (8, "slowonly_r50_8x8_k700", {}, 0.0),
    "r50_8x8_context": (8, "slowonly_r50_8x8_k700", CONTEXT, 0.0),
    "r50_8x8_tmax": (8, "slowonly_r50_8x8_k700", TMAX, 0.0),
    "r50_8x8_mlp": (8, "slowonly_r50_8x8_k700", MLP, 0.0),
    "r50_8x8_focal": (8, "slowonly_r50_8x8_k700", MLP, 1.0),
    "r50_16x4": (16, "slowonly_r50_8x8_k700", MLP, 1.0),
}


def get_config(variant="r50_8x8"):
    frames, weights, head, gamma = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 10.0
    c.batch = 64
    backbone = dict(name="slowonly", variant="r50", strides=(1, 2, 2, 1))
    c.model = dict(name="fast_rcnn", backbone=backbone, background=True, dropout=0.5, **head)
    c.task = datasets.ava_task(focal=(1.0, gamma))
    c.data = datasets.ava_kinetics(frames, FRAMES[frames])
    c.init.weights = weights
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.1, 64, weight_decay=1e-5)
    c.schedule = dict(name="cosine", begin=2.0, warmup=2.0, warmup_factor=0.1)
    c.best = "val/map"
    return c
