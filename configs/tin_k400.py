"""TIN-R50 on Kinetics-400 (top-1 71.86): a TSM that is trained for 50 more epochs, one crop."""

from configs import base, datasets, tin_ssv1
from jaxvid import plug


def get_config():
    c = base.config()
    c.epochs = 50.0
    c.batch = 48
    c.model = dict(name="tin", variant="r50", frames=8, dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5))
    c.data = datasets.kinetics(400)
    c.data.recipe = plug.spec("data.recipes", "segments", frames=8)
    c.init.weights = "tsm_r50_u8_k400"
    c.init.skip = (tin_ssv1.MODULES,)
    c.optim = base.sgd(0.01, 48, **tin_ssv1.groups())
    c.schedule = base.multistep(20.0, 40.0)
    c.eval_every = 5.0
    return c
