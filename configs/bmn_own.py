"""BMN on features of your own videos; `mini` is small, for tens of videos and a CPU.

    python -m jaxvid.tools.extract_features DIR/videos DIR/features --checkpoint MODEL
    python -m jaxvid.main --config configs/bmn_own.py --config.data.root=DIR
    python -m jaxvid.tools.localize VIDEO --checkpoint runs/bmn_own --out timeline.png

DIR also holds train.json and val.json, {"VIDEO": {"duration": 9.5, "annotations": [{"segment":
[1.0, 4.5], "label": "jump"}]}} in seconds, see jaxvid/data/sources/activitynet.py. If it also holds
test.json, evaluations use that instead of val.json.
"""

from configs import base, datasets
from jaxvid import plug


def get_config(variant="base"):
    sizes = {"base": (100, 32, 1e-3), "mini": (48, 16, 2e-3)}
    frames, samples, lr = base.pick(sizes, variant)
    c = base.config()
    c.dtype = "float32"
    c.epochs = 20.0
    c.batch = 16
    c.model = dict(name="bmn", variant=variant, samples=samples, remat=False)
    c.task = plug.spec("tasks", "localization", late=0, low=0.0, high=0.0)
    c.data = datasets.own(
        dict(name="activitynet", file="{split}.json", features="features", suffix=".npz")
    )
    c.data.recipe = plug.spec("data.recipes", "localization", frames=frames, resample=True)
    c.optim = dict(name="adam", lr=lr, weight_decay=1e-4, clip=40.0)
    c.schedule = dict(name="cosine")
    c.best = "val/auc"
    c.eval_every = 5.0
    return c
