"""SlowOnly with an action head on UCF101-24: 8 epochs from Kinetics weights.

The recipe is ours, in the manner of that for MultiSports. No accuracy is published for it. The
training is on the annotated boxes. The evaluation classifies the boxes of a person detector in
proposals_val.json, or with --config.data.val.proposals=true the annotated ones.
"""

from configs import base, datasets


def get_config():
    c = base.config()
    c.epochs = 8.0
    c.batch = 64
    backbone = dict(name="slowonly", variant="r50", strides=(1, 2, 2, 1))
    c.model = dict(name="fast_rcnn", backbone=backbone, dropout=0.5)
    c.task = datasets.ucf24_task()
    c.data = datasets.ucf24("ucf24", 8, 4)
    c.init.weights = "slowonly_r50_8x8_in1k_k400"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.1, 64, weight_decay=1e-5, clip=5.0)
    c.schedule = base.multistep(6.0, 7.0, warmup=1.0)
    c.best = "val/frame_map"
    return c
