"""A small model on embedded clips that only motion tells apart: minutes on two CPU cores.

    python -m jaxvid.main --config configs/quickstart.py

Variants: swin, the default, mvit, r2plus1d, tsm, uniformer, videomae and x3d.
"""

from configs import base, datasets
from jaxvid import plug

MODELS = {
    "swin": dict(name="swin", variant="mini", drop_path=0.0, dropout=0.0),
    "mvit": dict(
        name="mvit",
        variant="test",
        width=16,
        depth=6,
        stages=(1, 3),
        frames=8,
        init_std=0.0,
        drop_path=0.0,
        dropout=0.0,
    ),
    "r2plus1d": dict(
        name="r2plus1d", variant="r18", depths=(1, 1, 1), width=16, zero_init=True, dropout=0.0
    ),
    "tsm": dict(name="tsm", variant="test", depths=(1, 1, 1), width=16, dropout=0.0),
    "uniformer": dict(
        name="uniformer", variant="test", depths=(1, 1, 2), widths=(16, 32, 64), head_width=16
    ),
    "x3d": dict(
        name="x3d", variant="test", depths=(1, 2, 2), width=16, strides=(2, 2, 2), dropout=0.0
    ),
    "videomae": dict(name="videomae", variant="mini", drop_path=0.0, dropout=0.0, init_std=0.0),
}


def get_config(variant="swin"):
    model = base.pick(MODELS, variant)
    c = base.config()
    c.dtype = "float32"
    c.epochs = 16.0 if variant == "x3d" else 6.0
    c.batch = 16
    c.eval_batch = 80
    c.model = dict(model)
    # A mirror swaps left with right, and clockwise with counter_clockwise.
    c.task = plug.spec(
        "tasks", "recognition", smoothing=0.1, augment=dict(flip=0.5, flip_labels=((0, 1), (4, 5)))
    )
    c.data = datasets.own(dict(name="motion", train=1600, val=400, seed=0))
    c.data.num_classes = 8
    shape = dict(size=32, short_side=32, crop=("resized", (0.85, 1.0)))
    c.data.recipe = plug.spec("data.recipes", "clip", frames=8, stride=2, **shape)
    c.optim = dict(name="adamw", lr=1.5e-3, weight_decay=0.02, clip=1.0)
    c.schedule = dict(name="cosine", warmup=1.0)
    c.eval_every = 2.0
    c.save_every = 200
    return c
