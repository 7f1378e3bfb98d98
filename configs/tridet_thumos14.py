"""TriDet on THUMOS14: two-stream I3D features of 16 frames every 4 frames, 40 epochs (mAP 69.3)."""

from configs import actionformer_thumos14, base


def get_config(variant="i3d"):
    base.pick({"i3d": None}, variant)
    c = actionformer_thumos14.get_config()
    c.epochs = 40.0
    c.schedule.update(dict(begin=20.0, warmup=20.0))
    c.optim.weight_decay = 0.025
    c.model = dict(name="tridet", variant="thumos", bins=16, remat=False)
    c.task.iou_power = 0.2
    return c
