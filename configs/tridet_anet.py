"""TriDet on ActivityNet v1.3: TSP features of 16 frames at 15 frames per second, 15 epochs.

As ActionFormer, it predicts segments without classes. The published mAP of 36.8 is with the classes
of a classifier of videos.
"""

from configs import actionformer_anet, base


def get_config(variant="tsp"):
    base.pick({"tsp": None}, variant)
    c = actionformer_anet.get_config()
    c.schedule.update(dict(begin=10.0, warmup=10.0, final=0.05))
    c.optim.update(dict(weight_decay=0.04, clip=0.4))
    c.model = dict(name="tridet", variant="anet", bins=12, agnostic=True, remat=False)
    c.task.update(dict(iou_power=1.0, sigma=0.7, vote=0.95, keep=200))
    return c
