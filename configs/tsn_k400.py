"""TSN on Kinetics-400: a 2-D network on a few frames of the whole video, 25 frames x 10 crops.

Variants: r50_u3 (top-1 72.83), r50_u5 (73.80), r50_u8 (74.12), r50_u5_dense (71.37: five frames
within 64), r101_u8 (75.89); u3 is three frames in training. On other backbones: resnext101_u3
(72.95), densenet161_u3 (72.07), swin_base_u3 (77.03), swin_base_u8 (79.22, 50 epochs instead of
100), mobileone_s4_u8 (73.65); mobileone_s4_u8_deploy evaluates it in its form for inference. All
views of a video meet before the softmax, as in its head.
"""

from configs import base, datasets
from jaxvid import plug


def on(name, variant, weights, **options):
    """Return the spec of a TSN on a backbone of another family, and the weights to start from."""
    spec = dict(name=name, variant=variant, remat=False, **options)
    return dict(backbone=spec), weights


R50, R101 = ((dict(variant=v, remat=False), f"tsn_{v}_in1k") for v in ("r50", "r101"))
RESNEXT = on("resnext", "r101-32x4d", "resnext_r101-32x4d_in1k")
DENSENET = on("densenet", "161", "densenet_161_in1k", relu=False)
SWIN = on("swin2d", "base", "swin2d_base_22kto1k_in1k")
MOBILEONE = on("mobileone", "s4", "mobileone_s4_in1k")
DEPLOYED = on("mobileone", "s4", "", deploy=True)
DENSE = dict(sampler=("dense",), crop=("scales", 13), clips=10, crops=1)
# model and weights, frames, learning rate for 256 videos, dropout, epochs, more of the recipe
RECIPES = {
    "r50_u3": (R50, 3, 0.01, 0.4, 100.0, {}),
    "r50_u5": (R50, 5, 0.01, 0.4, 100.0, {}),
    "r50_u8": (R50, 8, 0.01, 0.4, 100.0, {}),
    "r50_u5_dense": (R50, 5, 0.06, 0.5, 100.0, DENSE),
    "r101_u8": (R101, 8, 0.01, 0.4, 100.0, {}),
    "resnext101_u3": (RESNEXT, 3, 0.01, 0.4, 100.0, {}),
    "densenet161_u3": (DENSENET, 3, 0.01, 0.4, 100.0, dict(crop=("resized",))),
    "swin_base_u3": (SWIN, 3, 0.01, 0.4, 100.0, {}),
    "swin_base_u8": (SWIN, 8, 0.01, 0.4, 50.0, {}),
    "mobileone_s4_u8": (MOBILEONE, 8, 0.01, 0.4, 100.0, {}),
    "mobileone_s4_u8_deploy": (DEPLOYED, 8, 0.01, 0.4, 100.0, {}),
}


def get_config(variant="r50_u3"):
    (model, weights), frames, lr, dropout, epochs, more = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = epochs
    c.batch = 256
    init_std = 0.001 if more is DENSE else 0.01
    c.model = dict(name="tsn", **model, dropout=dropout, init_std=init_std)
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), average="score")
    c.data = datasets.kinetics(400)
    c.data.recipe = plug.spec(
        "data.recipes", "segments", **dict(frames=frames, test_frames=25, crops=10) | more
    )
    c.init.weights = weights
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(lr, 256)
    c.schedule = base.multistep(0.4 * epochs, 0.8 * epochs)
    return c
