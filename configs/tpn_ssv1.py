"""TPN on TSM-R50 on Something-Something v1 (top-1 51.87): 8 frames, 150 epochs, 2 clips x 3 crops.

A mirror swaps the classes that differ in left and right. An auxiliary classifier has half the
weight of the other in the loss.
"""

from configs import base, datasets
from jaxvid import plug


def get_config():
    c = base.config()
    c.epochs = 150.0
    c.batch = 64
    c.model = dict(name="tpn", backbone=dict(name="tsm", variant="r50"), dropout=0.5)
    augment = dict(flip=0.5, flip_labels=datasets.SSV1_MIRROR, color=(0.5, 0.5, 0.5, 0.1))
    c.task = plug.spec("tasks", "recognition", augment=augment, auxiliary=0.5)
    c.data = datasets.something1()
    views = dict(clips=2, crops=3, test_size=256)
    c.data.recipe = plug.spec("data.recipes", "segments", frames=8, crop=("resized",), **views)
    c.init.weights = "tsn_r50_v1_in1k"
    c.init.skip = ("neck/.*", "head/.*")
    c.optim = base.sgd(0.01, 64, weight_decay=5e-4, clip=20.0) | dict(nesterov=True)
    c.schedule = base.multistep(75.0, 125.0)
    c.eval_every = 5.0
    return c
