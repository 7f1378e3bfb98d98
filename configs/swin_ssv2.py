"""Video Swin-B on Something-Something v2: 32 frames over the whole video, window 16-7-7, 60 epochs.

The official repository's recipe (top-1 69.6 on 1 clip x 3 crops): 8 machines' worth of gradient
accumulation to a batch of 512, RandAugment, random erasing, label smoothing. Left and right are
classes here, so nothing is mirrored. (The upstream RandAugment mirrors half of the clips whatever
their class; `--config.task.augment.flip=0.5` would do the same.)
"""

from configs import base, datasets, swin_k400
from jaxvid import plug


def get_config():
    c = base.config()
    c.epochs = 60.0
    c.batch = 512
    c.accumulate = 8
    c.model = dict(
        name="swin", variant="base", window=(16, 7, 7), drop_path=0.4, dropout=0.5, remat=True
    )
    c.task = plug.spec(
        "tasks", "recognition", smoothing=0.1, augment=dict(erasing=0.25), average="prob"
    )
    c.data = datasets.something()
    c.data.recipe = plug.spec(
        "data.recipes",
        "clip",
        frames=32,
        stride=2,
        size=224,
        sampler=("uniform",),
        policy=("randaugment", 4, 7.0),
        crops=3,
    )
    c.init.weights = "swin_base_32x2_in22k_k400"
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
    c.eval_every = 5.0
    return c
