"""Long-term feature banks on SlowOnly on AVA 2.1: boxes of key frames, 20 epochs.

    python -m jaxvid.tools.make_bank --config lfb_ava21 --checkpoint slowonly_r50_4x16_ava21
    python -m jaxvid.main --config lfb_ava21

Variants, by the operator that makes one vector of a bank: non_local (mAP 24.11), max (22.15), avg.
The first command makes the banks of both splits, which all variants share.
"""

from configs import base, datasets


def get_config(variant="non_local"):
    operator = base.pick({name: name for name in ("non_local", "max", "avg")}, variant)
    c = base.config()
    c.epochs = 20.0
    c.batch = 96
    backbone = dict(name="slowonly", variant="r50", strides=(1, 2, 2, 1))
    c.model = dict(name="lfb", backbone=backbone, background=True, operator=operator, dropout=0.5)
    c.task = datasets.ava_task()
    c.data = datasets.ava("2.1", 4, 16)
    for split in ("train", "val"):
        c.data[split].bank = "annotations/bank_{split}"
    c.data.val.least = 0.85
    c.data.recipe.bank_window = 60
    c.init.weights = "slowonly_r50_4x16_in1k_k400"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.15, 96, weight_decay=1e-5, clip=20.0)
    c.schedule = base.multistep(10.0, 15.0, warmup=5.0) | dict(warmup_by="step")
    c.best = "val/map"
    return c
