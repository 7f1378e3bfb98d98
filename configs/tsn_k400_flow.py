"""TSN-R50 on optical flow of Kinetics-400: five flow fields (x and y) from each of three segments.

Flow lies in folders of gray images, `x_00001.jpg` and `y_00001.jpg`; `jaxvid.tools.extract_frames`
makes them. To join it with a model of RGB: `jaxvid.tools.fuse`.
"""

from configs import base, datasets
from jaxvid import plug


def get_config():
    c = base.config()
    c.epochs = 110.0
    c.batch = 256
    c.model = dict(name="tsn", variant="r50", dropout=0.4, remat=False)
    flow = dict(mean=(128.0,), std=(128.0,), augment=dict(flip=0.5, flow=True))
    c.task = plug.spec("tasks", "recognition", **flow, average="score")
    c.data = datasets.kinetics_flow()
    frames = dict(frames=3, flow=5, test_frames=25)
    c.data.recipe = plug.spec("data.recipes", "segments", **frames, crop=("resized",), crops=10)
    c.init.weights = "tsn_r50_in1k"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.005, 256)
    c.schedule = base.multistep(70.0, 100.0)
    c.eval_every = 5.0
    return c
