"""VideoMAE v2 on Kinetics-400: 16x4 frames, tested on 5 clips x 3 crops.

Variants: small (top-1 83.6) and base (86.6). Their files were distilled from the giant network on
Kinetics-710, which nothing here does: this is the recipe that fine-tunes VideoMAE of the same size,
from these files.
"""

from configs import base
from configs.videomae_k400 import RECIPES, recipe, videomae_run

VARIANTS = {"small": RECIPES["small"], "base": RECIPES["base"]}


def get_config(variant="base"):
    run = base.pick(VARIANTS, variant)
    c = videomae_run(dict(name="videomaev2", variant=variant, drop_path=0.1), *run)
    c.data.recipe = recipe(stride=4, clips=5)
    c.init.weights = f"videomaev2_{variant}_16x4_k400"
    return c
