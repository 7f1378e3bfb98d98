"""UniFormerV2 on Kinetics-600, from Kinetics-710; configs/uniformerv2_k400.py has the recipe.

Variants: base_u8 (top-1 86.4), large_u8 (89.0), large_u16 (89.4), large_u32 (89.2) and
large-336_u32 (89.8). Only that of base_u8 is published for training.
"""

from configs import base, datasets
from configs.uniformerv2_k400 import VARIANTS, uniformerv2_run

VARIANTS = VARIANTS[1:]


def get_config(variant="base_u8"):
    base.pick(dict.fromkeys(VARIANTS), variant)
    return uniformerv2_run(variant, datasets.kinetics(600))
