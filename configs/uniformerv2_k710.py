"""UniFormerV2 on Kinetics-400, 600 and 700 as one set of 710 classes, from CLIP, 55 epochs.

Variants: base_u8 (top-1 78.9), large_u8 and large-336_u8, of which only the first is published for
training. Runs on one of the three sets start from these weights.
"""

from configs import base, datasets
from configs.uniformerv2_k400 import cosine, from_clip

SIZES = {"base_u8": "base", "large_u8": "large", "large-336_u8": "large-336"}


def get_config(variant="base_u8"):
    c = from_clip(base.pick(SIZES, variant), datasets.kinetics710())
    c.schedule = cosine(5.0, 0.5)
    return c
