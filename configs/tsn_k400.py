"""TSN on Kinetics-400: ResNet on a few frames of the whole video, 100 epochs, 25 frames x 10 crops.

Variants: r50_u3 (top-1 72.83), r50_u5 (73.80), r50_u8 (74.12), r50_u5_dense (71.37: five frames
within 64), r101_u8 (75.89); u3 is three frames in training. All views of a video meet before the
softmax, as in its head.
"""

from configs import base, datasets
from jaxvid import plug

DENSE = dict(sampler=("dense",), crop=("scales", 13), clips=10, crops=1)
# model, frames, learning rate for 256 videos, dropout, more of the recipe
RECIPES = {
    "r50_u3": ("r50", 3, 0.01, 0.4, {}),
    "r50_u5": ("r50", 5, 0.01, 0.4, {}),
    "r50_u8": ("r50", 8, 0.01, 0.4, {}),
    "r50_u5_dense": ("r50", 5, 0.06, 0.5, DENSE),
    "r101_u8": ("r101", 8, 0.01, 0.4, {}),
}


def get_config(variant="r50_u3"):
    depth, frames, lr, dropout, more = base.pick(RECIPES, variant)
    dense = more is DENSE
    c = base.config()
    c.epochs = 100.0
    c.batch = 256
    c.model = dict(
        name="tsn", variant=depth, dropout=dropout, init_std=0.001 if dense else 0.01, remat=False
    )
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), average="score")
    c.data = datasets.kinetics(400)
    c.data.recipe = plug.spec(
        "data.recipes", "segments", **dict(frames=frames, test_frames=25, crops=10) | more
    )
    c.init.weights = f"tsn_{depth}_in1k"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(lr, 256)
    c.schedule = base.multistep(40.0, 80.0)
    return c
