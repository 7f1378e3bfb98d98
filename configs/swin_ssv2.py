"""Video Swin-B on Something-Something v2: 32 frames over the whole video, window 16-7-7, 60 epochs.

The official repository's recipe (top-1 69.6 on 1 clip x 3 crops): a batch of 512 in 8
micro-batches, RandAugment, random erasing and label smoothing. Nothing is mirrored, because some
classes differ in left and right. The RandAugment of the official repository mirrors half of the
clips whatever their class; `--config.task.augment.flip=0.5` does the same.
"""

from configs import datasets
from configs.swin_k400 import official_run
from jaxvid import plug


def get_config():
    c = official_run("base", datasets.something(), "swin_base_32x2_in22k_k400", drop_path=0.4)
    c.epochs = 60.0
    c.model.update(window=(16, 7, 7), remat=True)
    c.task = plug.spec(
        "tasks", "recognition", smoothing=0.1, augment=dict(erasing=0.25), average="prob"
    )
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
    c.eval_every = 5.0
    return c
