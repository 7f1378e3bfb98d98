"""C2D on Kinetics-400: a ResNet on the frames of a clip, 100 epochs, 10 clips x 3 crops.

Variants: r50_8x8 (top-1 73.89), r50_16x4 (74.97), and without the pooling over time r50_8x8_nopool
(73.44), r101_8x8_nopool (74.97). Without it, all views of a video meet before the softmax, as in
the head of TSN.
"""

from configs import base, datasets
from jaxvid import plug

# model, frames, stride, pooling over time
RECIPES = {
    "r50_8x8": ("r50", 8, 8, True),
    "r50_16x4": ("r50", 16, 4, True),
    "r50_8x8_nopool": ("r50", 8, 8, False),
    "r101_8x8_nopool": ("r101", 8, 8, False),
}


def get_config(variant="r50_8x8"):
    depth, frames, stride, pool = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 100.0
    c.batch = 256
    c.model = dict(name="c2d", variant=depth, pool=pool, dropout=0.5 if pool else 0.4, remat=False)
    average = "prob" if pool else "score"
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), average=average)
    c.data = datasets.kinetics(400)
    c.data.recipe = plug.spec(
        "data.recipes", "clip", frames=frames, stride=stride, crop=("scales",), clips=10, crops=3
    )
    c.init.weights = f"tsn_{depth}_in1k"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.01, 256)
    c.schedule = base.multistep(40.0, 80.0)
    return c
