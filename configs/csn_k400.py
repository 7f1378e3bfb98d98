"""CSN on Kinetics-400: clips of 32 frames at stride 2, 58 epochs with frozen normalization layers.

Variants name kind, depth and the weights they start from: ip152_ig65m (top-1 82.68), ir152_ig65m
(82.87, or 82.84 in another run), ir50_ig65m (79.44), ip152_sports1m (79.07), ir152_sports1m
(78.57), and from random values ip152 (77.80) and ir152 (76.53). The test has 10 clips x 3 crops.
"""

from configs import base, datasets
from jaxvid import plug

# model, what it starts from
RECIPES = {
    f"{variant}_{weights}".rstrip("_"): (variant, weights)
    for variant, weights in (
        *(("ir152", name) for name in ("ig65m", "sports1m", "")),
        *(("ip152", name) for name in ("ig65m", "sports1m", "")),
        ("ir50", "ig65m"),
    )
}
# The pixels of models that do not come from IG-65M.
PIXELS = dict(mean=(110.201, 100.64, 95.9947), std=(58.1476, 56.4697, 55.3322))


def get_config(variant="ir152_ig65m"):
    model, weights = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 58.0
    c.batch = 96
    c.model = dict(name="csn", variant=model, bn_frozen=True, dropout=0.5, remat=False)
    pixels = {} if weights == "ig65m" else PIXELS
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), **pixels)
    c.data = datasets.kinetics(400)
    clip = dict(frames=32, stride=2, clips=10, crops=3, test_size=256)
    c.data.recipe = plug.spec("data.recipes", "clip", **clip)
    c.init.weights = f"csn_{model}_{weights}" if weights else ""
    c.init.skip = ("head/.*",)
    c.optim = base.sgd(5e-4, 96, freeze=("backbone/.*/bn/(scale|bias)",))
    c.schedule = base.multistep(32.0, 48.0, warmup=16.0)
    c.eval_every = 3.0
    return c
