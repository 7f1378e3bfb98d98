"""BSN on features of your own videos; `mini` is small, for tens of videos and a CPU.

    python -m jaxvid.tools.extract_features DIR/videos DIR/features --checkpoint MODEL
    python -m jaxvid.main --config configs/bsn_own.py --config.data.root=DIR
    python -m jaxvid.tools.localize VIDEO --checkpoint runs/bsn_own --out timeline.png

DIR has the files of bmn_own.py. All stages are trained together.
"""

from configs import base, bmn_own
from jaxvid import plug


def get_config(variant="base"):
    sizes = {"base": (100, 1e-3), "mini": (48, 2e-3)}
    frames, lr = base.pick(sizes, variant)
    c = bmn_own.get_config(variant)
    c.model = dict(name="bsn", variant=variant, remat=False)
    c.task = plug.spec("tasks", "boundaries", alpha=0.4, low=0.0, high=0.0)
    c.data.recipe.frames = frames
    c.optim.lr = lr
    return c
