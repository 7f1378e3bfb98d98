"""SlowOnly with an action head on MultiSports: 8 epochs from Kinetics weights (frame mAP 26.40)."""

from configs import common


def get_config():
    c = common.base()
    c.epochs = 8.0
    c.batch = 128
    c.model = dict(name="fast_rcnn", variant="slowonly_r50", dropout=0.5, remat=False)
    c.task = common.multisports_task()
    c.data = common.multisports(4, 16)
    c.init = dict(weights="slowonly_r50_4x16_in1k_k400", skip=("head/.*",))
    c.optim = common.sgd(0.2, 128, weight_decay=1e-5, clip=5.0)
    c.schedule = dict(
        name="multistep", by="epoch", milestones=(6.0, 7.0), gamma=0.1, warmup=5.0,
        warmup_by="epoch", warmup_factor=0.1,
    )  # fmt: skip
    c.best = "val/frame_map"
    return c
