"""Video Swin-L on Kinetics-700, from ImageNet-22K: MMAction2's recipe (top-1 75.92)."""

from configs import base, datasets, swin_k400
from jaxvid import plug


def get_config():
    c = base.config()
    c.epochs = 30.0
    c.batch = 128
    c.model = dict(name="swin", variant="large", drop_path=0.4, dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), average="prob")
    c.data = datasets.kinetics(700)
    c.data.recipe = plug.spec(
        "data.recipes", "clip", frames=32, stride=2, size=224, clips=4, crops=3
    )
    c.init.weights = "swin2d_large_in22k"
    c.init.skip = ("head/.*",)
    c.optim = dict(
        name="adamw", lr=2e-3, base_batch=128, weight_decay=0.05, clip=0.0, **swin_k400.GROUPS
    )
    c.schedule = dict(name="cosine", by="epoch", warmup=2.5, warmup_by="step", warmup_factor=0.1)
    c.eval_every = 3.0
    c.keep = 5
    return c
