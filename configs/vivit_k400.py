"""ViViT-B on Kinetics-400, without factorization: clips of 32 frames at stride 2, 30 epochs.

It starts from a ViT-B/16 of ImageNet-21K, and has a top-1 of 79.9. The test has 4 clips x 3 crops.
The authors' code, Scenic, leaves the colors of 20 % of the clips as they are, and makes 10 % gray.
"""

from configs import base, datasets
from jaxvid import plug


def get_config():
    c = base.config()
    c.epochs = 30.0
    c.batch = 64
    c.model = dict(name="vivit", variant="base", dropout=0.0, remat=False)
    augment = dict(flip=0.5, color=(0.125, 0.4, 0.4, 0.2))
    pixels = dict(mean=(127.5,) * 3, std=(127.5,) * 3)
    c.task = plug.spec("tasks", "recognition", augment=augment, **pixels)
    c.data = datasets.kinetics(400)
    scales = dict(short_side=230, short_side_max=340, test_short_side=256)  # 0.9 to 1.33 of 256
    clip = dict(frames=32, stride=2, crop=("plain",), clips=4, crops=3)
    c.data.recipe = plug.spec("data.recipes", "clip", **clip, **scales)
    c.init.weights = "timesformer_spaceonly_in21k"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.1, 64, weight_decay=0.0, clip=1.0)
    c.schedule = dict(name="cosine", by="step", warmup=2.5, warmup_by="step", warmup_factor=0.0)
    return c
