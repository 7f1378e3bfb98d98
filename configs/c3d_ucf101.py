"""C3D on UCF101, split 1, from weights of Sports-1M: 16 frames of 112 x 112, 45 epochs, 10 clips.

The published checkpoint reaches a top-1 accuracy of 83.08.
"""

from configs import base, datasets
from jaxvid import plug


def get_config():
    c = base.config()
    c.epochs = 45.0
    c.batch = 240
    c.model = dict(name="c3d", variant="base", dropout=0.5, remat=False)
    pixels = dict(mean=(104.0, 117.0, 128.0), std=(1.0, 1.0, 1.0))
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), **pixels)
    c.data = datasets.ucf101()
    sizes = dict(size=112, short_side=128, test_short_side=128, crop=("plain",))
    c.data.recipe = plug.spec("data.recipes", "clip", frames=16, stride=1, clips=10, **sizes)
    c.init.weights = "c3d_base_sports1m"
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(0.001, 240, weight_decay=5e-4)
    c.schedule = base.multistep(20.0, 40.0)
    c.eval_every = 5.0
    return c
