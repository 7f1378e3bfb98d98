"""Video Swin-S on Kinetics-710: 400, 600 and 700 as one set of 710 classes (top-1 76.90).

The lists hold the labels of K710; each of the three sets keeps its own folder of videos.
"""

from configs import base, datasets, swin_k400
from jaxvid import plug


def get_config():
    c = base.config()
    c.epochs = 30.0
    c.batch = 128
    c.model = dict(name="swin", variant="small", drop_path=0.2, dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), average="prob")
    c.data = datasets.kinetics710()
    c.data.recipe = plug.spec(
        "data.recipes", "clip", frames=32, stride=2, size=224, clips=4, crops=3
    )
    c.init.weights = "swin2d_small_in1k"
    c.init.skip = ("head/.*",)
    c.optim = dict(
        name="adamw", lr=2e-3, base_batch=128, weight_decay=0.02, clip=0.0, **swin_k400.GROUPS
    )
    c.schedule = dict(name="cosine", by="epoch", warmup=2.5, warmup_by="step", warmup_factor=0.1)
    c.eval_every = 3.0
    c.keep = 5
    return c
