"""I3D on Kinetics-400: an inflated ResNet-50 on clips of 32 frames at stride 2, 100 epochs.

Variants: r50_32x2 (top-1 73.47), r50_32x2_heavy (76.21: all blocks are inflated), r50_32x2_dense
(73.77: clips of a window of the video), and with non-local blocks r50_32x2_dot_product (74.80),
r50_32x2_embedded_gaussian (74.73), r50_32x2_gaussian (73.97). The test has 10 clips x 3 crops.
"""

from configs import base, datasets
from jaxvid import plug

# more of the model, more of the data recipe
RECIPES = {
    "r50_32x2": ({}, {}),
    "r50_32x2_heavy": (dict(heavy=True), {}),
    "r50_32x2_dense": ({}, dict(sampler=("dense",))),
    "r50_32x2_dot_product": (dict(non_local="dot_product"), {}),
    "r50_32x2_embedded_gaussian": (dict(non_local="embedded_gaussian"), {}),
    "r50_32x2_gaussian": (dict(non_local="gaussian"), {}),
}


def get_config(variant="r50_32x2"):
    model, sampling = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 100.0
    c.batch = 64
    c.model = dict(name="i3d", variant="r50", **model, dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5))
    c.data = datasets.kinetics(400)
    clip = dict(frames=32, stride=2, crop=("scales", 5, (1.0, 0.8), 0), **sampling)
    c.data.recipe = plug.spec("data.recipes", "clip", **clip, clips=10, crops=3, test_size=256)
    c.init.weights = "tsn_r50_v1_in1k"
    c.init.skip = ("head/.*", *([".*/non_local/.*"] if "non_local" in model else []))
    c.optim = base.sgd(0.01, 64)
    c.schedule = base.multistep(40.0, 80.0)
    return c
