"""UniFormerV2 on Kinetics-700; configs/uniformerv2_k400.py has the recipe.

Variants: from CLIP base_u8_clip (top-1 75.9); from Kinetics-710 base_u8 (76.3), large_u8 (80.8),
large_u16 (81.2), large_u32 (81.4) and large-336_u32 (82.1). Only those of `base` are published for
training.
"""

from configs import base, datasets
from configs.uniformerv2_k400 import VARIANTS, uniformerv2_run


def get_config(variant="base_u8"):
    base.pick(dict.fromkeys(VARIANTS), variant)
    return uniformerv2_run(variant, datasets.kinetics(700))
