"""Small graph networks on generated skeletons that only motion tells apart, for a CPU.

    python -m jaxvid.tools.make_skeletons DIR
    python -m jaxvid.main --config quickstart_skeleton:stgcnpp_2d_j --config.data.root=DIR

Variants are family (agcn2s, ctrgcn, stgcn, stgcnpp), layout (2d: 17 joints of COCO; 3d: 25 of NTU
RGB+D; hand: 21 of a hand) and stream (j joints, b bones). `make_skeletons --layout` writes the
skeletons of each layout, and `jaxvid.tools.fuse` joins the predictions of both streams.
"""

from itertools import product

from configs import base, datasets
from jaxvid import plug

# Widths and strides of the blocks, which all families take.
BLOCKS = dict(widths=(24, 24, 48, 48), strides=(1, 1, 2, 1))
FAMILIES = ("agcn2s", "ctrgcn", "stgcn", "stgcnpp")
LAYOUTS = {"2d": "coco", "3d": "nturgb+d", "hand": "handmp"}
STREAMS = ("j", "b")
VARIANTS = {"_".join(each): each for each in product(FAMILIES, LAYOUTS, STREAMS)}


def get_config(variant="stgcnpp_2d_j"):
    family, dims, stream = base.pick(VARIANTS, variant)
    layout = LAYOUTS[dims]
    c = base.config()
    c.dtype = "float32"
    c.epochs = 16.0
    c.batch = 16
    c.eval_batch = 40
    c.model = dict(name=family, variant="test", layout=layout, dropout=0.0, **BLOCKS)
    c.task = plug.spec("tasks", "recognition", keys=("keypoint",))
    c.data = datasets.own(dict(name="user_skeletons"))
    recipe = dict(layout=layout, streams=(stream,), frames=24, people=1, clips=4)
    c.data.recipe = plug.spec("data.recipes", "skeleton", **recipe)
    c.optim = base.sgd(0.1, 16, weight_decay=5e-4, clip=0.0) | dict(nesterov=True)
    c.schedule = dict(name="cosine", by="step", warmup=1.0)
    c.eval_every = 4.0
    return c
