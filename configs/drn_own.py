"""DRN on your own sentences and features; `mini` is small, for tens of videos and a CPU.

    python -m jaxvid.tools.extract_features DIR/videos DIR/features --checkpoint MODEL
    python -m jaxvid.main --config configs/drn_own.py --config.data.root=DIR
    python -m jaxvid.tools.localize VIDEO --checkpoint runs/drn_own --query TEXT --out a.png

DIR also holds train.csv and val.csv, rows of `video,start,end,sentence` in seconds after a header
of these names; see jaxvid/data/sources/grounding.py for other formats. The checkpoint contains the
vocabulary, the words of train.csv.
"""

from configs import base, datasets
from jaxvid import plug


def get_config(variant="base"):
    lr = base.pick({"base": 1e-3, "mini": 2e-3}, variant)
    c = base.config()
    c.dtype = "float32"
    c.epochs = 20.0
    c.batch = 32
    c.model = dict(name="drn", variant=variant, remat=False)
    c.task = plug.spec("tasks", "grounding")
    c.data = datasets.own(
        dict(name="grounding", file="{split}.csv", features="features", suffix=".npz")
    )
    c.data.checks = ("labels", "missing", "overlap")
    c.data.recipe = plug.spec("data.recipes", "grounding")
    c.optim = dict(name="adam", lr=lr, weight_decay=0.0, clip=5.0)
    c.schedule = dict(name="cosine")
    c.best = "val/r1_iou50"
    c.eval_every = 5.0
    return c
