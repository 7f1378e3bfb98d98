"""SlowOnly with an action head on MultiSports: 8 epochs from Kinetics weights (frame mAP 26.40)."""

from configs import base, datasets


def get_config():
    c = base.config()
    c.epochs = 8.0
    c.batch = 128
    backbone = dict(name="slowonly", variant="r50", strides=(1, 2, 2, 1))
    c.model = dict(name="fast_rcnn", backbone=backbone, dropout=0.5)
    c.task = datasets.multisports_task()
    c.data = datasets.multisports(4, 16)
    c.init.weights = "slowonly_r50_4x16_in1k_k400"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.2, 128, weight_decay=1e-5, clip=5.0)
    c.schedule = base.multistep(6.0, 7.0, warmup=5.0)
    c.best = "val/frame_map"
    return c
