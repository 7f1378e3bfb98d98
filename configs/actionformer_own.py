"""ActionFormer on features of your own videos; `mini` is small, for tens of videos and a CPU.

    python -m jaxvid.tools.extract_features DIR/videos DIR/features --checkpoint MODEL
    python -m jaxvid.main --config configs/actionformer_own.py --config.data.root=DIR
    python -m jaxvid.tools.localize VIDEO --checkpoint runs/actionformer_own --out timeline.png

DIR is that of `bmn_own`. Other than BMN, this model predicts the class of each segment.
"""

from configs import base, datasets
from jaxvid import plug
from jaxvid.tasks.temporal_detection import RANGES

# Rows of a sample, learning rate, videos of a step, usual number of points that learn an action.
SIZES = {"base": (2304, 1e-4, 2, 100.0), "mini": (256, 1e-3, 8, 200.0)}


def get_config(variant="base"):
    frames, lr, batch, normalizer = base.pick(SIZES, variant)
    c = base.temporal_detection(35.0, lr, batch)
    c.model = dict(name="actionformer", variant=variant, remat=False)
    c.task = plug.spec("tasks", "temporal_detection", normalizer=normalizer)
    if variant == "mini":
        c.ema = 0.98
        c.task["ranges"] = (*RANGES[:4], (32.0, RANGES[-1][1]))
    c.data = datasets.own(
        dict(name="activitynet", file="{split}.json", features="features", suffix=".npz")
    )
    c.data.recipe = plug.spec("data.recipes", "timeline", frames=frames)
    c.eval_every = 5.0
    return c
