"""SlowOnly-R50 on optical flow of Kinetics-400: 16 flow fields at stride 4, from scratch.

The folders of flow are those of tsn_k400_flow.py.
"""

from configs import base, datasets, slowonly_k400
from jaxvid import plug


def get_config():
    c = base.config()
    c.epochs = 256.0
    c.batch = 128
    c.model = dict(name="slowonly", variant="r50", dropout=0.5, remat=False)
    flow = dict(mean=(128.0,), std=(128.0,), augment=dict(flip=0.5, flow=True))
    c.task = plug.spec("tasks", "recognition", **flow)
    c.data = datasets.kinetics_flow()
    c.data.recipe = plug.spec(
        "data.recipes", "clip", frames=16, stride=4, channels=2, clips=10, crops=3, test_size=256
    )
    c.optim = base.sgd(0.2, 128)
    c.schedule = dict(slowonly_k400.COSINE)
    c.eval_every = 8.0
    return c
