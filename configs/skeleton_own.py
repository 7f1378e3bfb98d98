"""ST-GCN++ on your own skeletons, from its NTU RGB+D weights.

    python -m jaxvid.main --config skeleton_own:2d_j --config.data.root=DIR

DIR holds train.pkl and val.pkl, or skeletons.pkl with splits of these names, as
jaxvid/data/annotations/skeleton_files.py describes them, and classes.txt where labels have names.
Variants are joints (2d: 17 of COCO; 3d: 25 of NTU RGB+D) and stream (j joints, b bones, jm and bm
their motion). `mini` is small, of 2-D joints and from random values, for a CPU.
"""

from configs import base, datasets
from jaxvid import plug
from jaxvid.config import loading

NAMES = {"j": "joint", "b": "bone", "jm": "joint-motion", "bm": "bone-motion"}


def get_config(variant="2d_j"):
    mini = variant == "mini"
    dims, stream = base.pick(base.STREAMS | {"mini": ("2d", "j")}, variant)
    published = loading.load(f"stgcnpp_ntu60:{dims}_{stream}")
    c = base.config()
    c.dtype = "float32"
    c.epochs = 20.0
    c.batch = 16
    c.model = {**published.model, "variant": "test" if mini else dims}
    c.task = published.task
    c.data = datasets.own(dict(name="user_skeletons", file="skeletons"))
    layout = published.data.recipe.layout
    c.data.recipe = plug.spec(
        "data.recipes",
        "skeleton",
        layout=layout,
        streams=(stream,),
        frames=32 if mini else 100,
        clips=2 if mini else 10,
    )
    c.init.weights = "" if mini else f"stgcnpp_{dims}_{NAMES[stream]}_ntu60"
    c.optim = {**published.optim, "lr": 0.1 if mini else 0.01, "base_batch": 16}
    c.schedule = dict(name="cosine", by="step")
    return c
