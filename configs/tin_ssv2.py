"""TIN-R50 on Something-Something v2 (top-1 54.78): 8 frames, 40 epochs, one crop, no mirror."""

from configs import base, datasets, tin_ssv1
from jaxvid import plug


def get_config():
    c = base.config()
    c.epochs = 40.0
    c.batch = 48
    c.model = dict(name="tin", variant="r50", frames=8, dropout=0.8, remat=False)
    c.task = plug.spec("tasks", "recognition")
    c.data = datasets.something()
    c.data.recipe = plug.spec("data.recipes", "segments", frames=8)
    c.init.weights = "tsn_r50_v1_in1k"
    c.init.skip = ("head/.*", tin_ssv1.MODULES)
    c.optim = base.sgd(0.01, 48, weight_decay=5e-4, **tin_ssv1.groups())
    c.schedule = base.cosine_after_warmup(1.0)
    c.eval_every = 2.0
    return c
