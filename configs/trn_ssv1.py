"""TRN-R50 on Something-Something v1 (top-1 33.65): 8 frames, 50 epochs, two clips x 3 crops.

A mirror swaps the classes that differ in left and right. Of the normalizations, only the first is
trained (partial BN).
"""

from configs import base, datasets
from jaxvid import plug

PARTIAL_BN = ("backbone/layer.*/bn/.*",)
VIEWS = dict(clips=2, crops=3, test_size=256)


def optimizer() -> dict:
    """Biases learn twice as fast; biases and norms have no decay."""
    groups = dict(
        lr_scale=(("head/.*/bias", 2.0),),
        decay_scale=((".*/bias", 0.0), (".*/bn/scale", 0.0)),
        freeze=PARTIAL_BN,
    )
    return base.sgd(0.002, 128, weight_decay=5e-4, clip=20.0, **groups)


def get_config():
    return run(datasets.something1(), datasets.SSV1_MIRROR)


def run(data: dict, mirror: tuple):
    """Return the recipe of both versions of Something-Something.

    Args:
      data: a data set of `datasets`.
      mirror: pairs of classes that a mirror swaps.
    """
    c = base.config()
    c.epochs = 50.0
    c.batch = 128
    c.model = dict(name="trn", variant="r50", frames=8, dropout=0.8, remat=False)
    augment = dict(flip=0.5, flip_labels=mirror)
    c.task = plug.spec("tasks", "recognition", augment=augment)
    c.data = data
    c.data.recipe = plug.spec("data.recipes", "segments", frames=8, crop=("scales", 13), **VIEWS)
    c.init.weights = "tsn_r50_v1_in1k"
    c.init.skip = ("head/.*",)
    c.optim = optimizer()
    c.schedule = base.multistep(30.0, 45.0)
    return c
