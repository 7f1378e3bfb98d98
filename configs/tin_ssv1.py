"""TIN-R50 on Something-Something v1 (top-1 38.68): 8 frames, 40 epochs, one crop, no mirror."""

from configs import base, datasets, tsm_k400
from jaxvid import plug

MODULES = ".*/interlace/.*"


def groups() -> dict:
    """The groups of TSM; biases of the modules that move channels learn twice as fast."""
    rates = (".*/interlace/.*/bias", 2.0)
    found = tsm_k400.groups()
    return found | dict(lr_scale=(*found["lr_scale"], rates))


def get_config():
    return run(datasets.something1(), clip=20.0)


def run(data: dict, clip: float):
    """Return the recipe of both versions of Something-Something.

    Args:
      data: a data set of `datasets`.
      clip: largest norm of the gradient.
    """
    c = base.config()
    c.epochs = 40.0
    c.batch = 48
    c.model = dict(name="tin", variant="r50", frames=8, dropout=0.8, remat=False)
    c.task = plug.spec("tasks", "recognition")
    c.data = data
    c.data.recipe = plug.spec("data.recipes", "segments", frames=8)
    c.init.weights = "tsn_r50_v1_in1k"
    c.init.skip = ("head/.*", MODULES)
    c.optim = base.sgd(0.01, 48, weight_decay=5e-4, clip=clip, **groups())
    c.schedule = base.cosine_after_warmup(1.0)
    return c
