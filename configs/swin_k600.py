"""Video Swin-B on Kinetics-600, from ImageNet-22K: the official repository's recipe (top-1 84.0).

64 clips at a time, 8 times, make a batch of 512.
"""

from configs import base, datasets, swin_k400
from jaxvid import plug


def get_config():
    c = base.config()
    c.epochs = 30.0
    c.batch = 512
    c.accumulate = 8
    c.model = dict(name="swin", variant="base", drop_path=0.2, dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), average="prob")
    c.data = datasets.kinetics(600)
    c.data.recipe = plug.spec(
        "data.recipes", "clip", frames=32, stride=2, size=224, clips=4, crops=3
    )
    c.init.weights = "swin2d_base_in22k"
    c.init.skip = ("head/.*",)
    c.optim = dict(
        name="adamw",
        lr=3e-4,
        base_batch=512,
        weight_decay=0.05,
        clip=0.0,
        **swin_k400.GROUPS_OFFICIAL,
    )
    c.schedule = dict(name="cosine", warmup=2.5, warmup_factor=0.1)
    return c
