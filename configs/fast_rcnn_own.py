"""SlowOnly with an action head on your own videos; `mini` is small, for tens of videos and a CPU.

    python -m jaxvid.main --config configs/fast_rcnn_own.py --config.data.root=DIR
    python -m jaxvid.tools.detect VIDEO --checkpoint runs/fast_rcnn_own --proposals people.csv \
        --out seen.mp4

DIR holds videos/, train.csv and val.csv, a line a box and class: VIDEO,SECONDS,x1,y1,x2,y2,CLASS,
corners as shares of the frame, 0..1, classes by name. If it also holds test.csv, evaluations use
that instead of val.csv. Evaluation looks into the true boxes; to measure with those of a detector,
name its file: --config.data.val.proposals=people.csv, and for training, too; see
jaxvid/data/annotations/boxes.py.
"""

from configs import base, datasets
from jaxvid import plug


def get_config(variant="base"):
    resnet50 = dict(name="slowonly", variant="r50", strides=(1, 2, 2, 1))
    small = dict(name="slowonly", variant="test")
    sizes = {"base": (resnet50, 256, 8, 8), "mini": (small, 64, 4, 2)}
    backbone, side, frames, stride = base.pick(sizes, variant)
    mini = variant == "mini"
    c = base.config()
    c.dtype = "float32" if mini else "bfloat16"
    c.epochs = 20.0
    c.batch = 8
    c.model = dict(name="fast_rcnn", backbone=backbone, dropout=0.0 if mini else 0.5)
    c.task = plug.spec("tasks", "detection")
    source = dict(name="ava", exclude="", prefix="videos", template="", start=0.0, fps=0.0)
    source |= dict(file="{split}.csv", first_class=1, meaning="", least=0.9)
    c.data = datasets.own(dict(source, proposals=""), dict(source, proposals="true"))
    shape = dict(size=side, short_side=side, short_side_max=side * 5 // 4)
    shape |= dict(canvas=(side, side * 5 // 2))
    c.data.recipe = plug.spec("data.recipes", "detection", frames=frames, stride=stride, **shape)
    if not mini:
        c.init.weights = "slowonly_r50_8x8_in1k_k400"
        c.init.skip = ("head/.*",)
    c.optim = dict(name="adamw", lr=5e-3 if mini else 1e-4, weight_decay=1e-5, clip=1.0)
    c.schedule = dict(name="cosine", warmup=0.1)
    c.best = "val/map"
    return c
