"""ACRN on SlowFast on AVA 2.1: boxes of key frames, 10 epochs from Kinetics weights (mAP 27.65)."""

from ml_collections import ConfigDict

from configs import base, datasets


def run(version: str) -> ConfigDict:
    """Return the run on a version of AVA, "2.1" or "2.2"."""
    c = base.config()
    c.epochs = 10.0
    c.batch = 64
    backbone = dict(name="slowfast", variant="r50", strides=(1, 2, 2, 1), alpha=4, fusion=7)
    c.model = dict(name="acrn", backbone=backbone, background=True, dropout=0.5)
    c.task = datasets.ava_task()
    c.data = datasets.ava(version, 32, 2)
    c.init.weights = "slowfast_r50_8x8_k400"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.1, 64, weight_decay=1e-5)
    c.schedule = dict(name="cosine", begin=2.0, warmup=2.0, warmup_factor=0.1)
    c.best = "val/map"
    return c


def get_config():
    return run("2.1")
