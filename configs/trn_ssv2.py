"""TRN-R50 on Something-Something v2 (top-1 51.20): otherwise as on version 1."""

from configs import base, datasets, trn_ssv1
from jaxvid import plug


def get_config():
    c = base.config()
    c.epochs = 50.0
    c.batch = 128
    c.model = dict(name="trn", variant="r50", frames=8, dropout=0.8, remat=False)
    mirror = dict(flip=0.5, flip_labels=datasets.SSV2_MIRROR)
    c.task = plug.spec("tasks", "recognition", augment=mirror)
    c.data = datasets.something()
    views = trn_ssv1.VIEWS
    c.data.recipe = plug.spec("data.recipes", "segments", frames=8, crop=("scales", 13), **views)
    c.init.weights = "tsn_r50_v1_in1k"
    c.init.skip = ("head/.*",)
    c.optim = trn_ssv1.optimizer()
    c.schedule = base.multistep(30.0, 45.0)
    return c
