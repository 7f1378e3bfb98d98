"""DRN on Charades-STA: find what a sentence describes, in three stages of 10 epochs each.

The first stage trains scores and distances, the second the predicted overlap, and the third all of
them. A stage starts from the run of the stage before it:

    python -m jaxvid.main --config configs/drn_charades.py:first --workdir runs/drn_first
    python -m jaxvid.main --config configs/drn_charades.py:second --workdir runs/drn_second
    python -m jaxvid.main --config configs/drn_charades.py:third --workdir runs/drn_third

With other workdirs, set --config.init.weights.
"""

from configs import base, datasets
from jaxvid import plug

STAGES = {
    "first": (1e-3, ""),
    "second": (1e-5, "runs/drn_first"),
    "third": (1e-6, "runs/drn_second"),
}


def get_config(variant="third"):
    lr, start = base.pick(STAGES, variant)
    c = base.config()
    c.dtype = "float32"
    c.epochs = 10.0
    c.batch = 32
    c.model = dict(name="drn", variant="c3d-4096", only_overlap=variant == "second", remat=False)
    c.task = plug.spec("tasks", "grounding", stage=variant)
    c.data = datasets.charades()
    c.init.weights = start
    c.optim = dict(name="adam", lr=lr, weight_decay=0.0, clip=5.0)
    c.schedule = base.multistep(warmup=0.0 if start else 5.0)
    c.best = "val/r1_iou50"
    return c
