"""ST-GCN++ on NTU RGB+D 60, cross-subject: 100 frames of 2 people, 80 epochs, tested on 10 clips.

Variants are joints (2d: 17 of COCO, found in the videos; 3d: 25 of the depth camera) and stream (j
joints, b bones, m their motion), which `jaxvid.tools.fuse` joins: 2d_j (top-1 89.29), 2d_b (92.30),
2d_jm (87.30), 2d_bm (88.76), 3d_j (89.14), 3d_b (90.21), 3d_jm (86.67), 3d_bm (87.45).
"""

from configs import common
from jaxvid import plug


def get_config(variant="2d_j"):
    dims, stream = common.pick(common.STREAMS, variant)
    c = common.base()
    c.dtype = "float32"
    c.epochs = 80.0
    c.batch = 128
    c.model = dict(name="stgcnpp", variant=dims, dropout=0.0, remat=False)
    c.task = plug.spec("tasks", "recognition", keys=("keypoint",))
    c.data = common.ntu(60, dims, stream)
    c.optim = dict(
        name="sgd", lr=0.1, base_batch=128, momentum=0.9, nesterov=True, weight_decay=5e-4, clip=0.0
    )
    c.schedule = dict(name="cosine", by="step")
    c.eval_every = 5.0
    return c
