"""SlowFast with an action head on MultiSports: 8 epochs from Kinetics weights (frame mAP 36.88)."""

from configs import common


def get_config():
    c = common.base()
    c.epochs = 8.0
    c.batch = 128
    c.model = dict(name="fast_rcnn", variant="slowfast_r50", dropout=0.5, remat=False)
    c.task = common.multisports_task()
    c.data = common.multisports(32, 2)
    c.init = dict(weights="slowfast_r50_4x16_k400", skip=("head/.*",))
    c.optim = common.sgd(0.01125, 128, weight_decay=1e-5, clip=5.0)
    c.schedule = dict(
        name="multistep", by="epoch", milestones=(6.0, 7.0), gamma=0.1, warmup=5.0,
        warmup_by="epoch", warmup_factor=0.1,
    )  # fmt: skip
    c.best = "val/frame_map"
    return c
