"""UniFormerV2 on Moments in Time, from Kinetics-400, 24 epochs, tested on 4 clips x 3 crops.

Variants: base_u8 (top-1 42.3), large_u8 (47.0) and large-336_u8 (47.7), of which only the first is
published for training.
"""

from configs import base, datasets
from configs.uniformerv2_k400 import common, cosine

# The weights to start from.
RECIPES = {
    "base_u8": "uniformerv2_base_u8_k400",
    "large_u8": "uniformerv2_large_u8_k400",
    "large-336_u8": "uniformerv2_large-336_u32_k400",
}


def get_config(variant="base_u8"):
    weights = base.pick(RECIPES, variant)
    c = common(variant.partition("_")[0], datasets.moments_in_time())
    c.epochs = 24.0
    c.batch = 512
    c.optim.update(lr=2e-5, base_batch=512)
    c.schedule = cosine(5.0, 0.05)
    c.init.weights = weights
    c.init.skip = ("head/.*",)
    return c
