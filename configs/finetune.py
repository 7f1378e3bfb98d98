"""Video Swin on your own clips. Classes and their number come from the data.

    python -m jaxvid.main --config configs/finetune.py:tiny --config.data.root=DIR

DIR holds one folder of videos for each class, or train/ and val/ with such folders, or train.csv
and val.csv with a line `path,label` for each video (see jaxvid/data/sources/user_clips.py).
"""

from configs import common
from jaxvid import plug


def get_config(variant="tiny"):
    c = common.base()
    c.epochs = 20.0
    c.batch = 16
    c.model = dict(name="swin", variant=variant, drop_path=0.1, dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition", flip=0.5, flip_labels=(), smoothing=0.0)
    clips = dict(name="user_clips", train_share=0.8)
    c.data = dict(
        root="", num_classes=None, names="", checks=common.CHECKS, train=clips, val=clips
    )  # fmt: skip
    c.data.recipe = plug.spec(
        "data.recipes", "clip", frames=32, stride=2, size=224, clips=4, crops=3
    )
    c.optim = dict(name="adamw", lr=1e-3, base_batch=64, weight_decay=0.02, clip=1.0)
    c.optim.update(common.SWIN_GROUPS)
    c.schedule = dict(name="cosine", warmup=2.0)
    return c
