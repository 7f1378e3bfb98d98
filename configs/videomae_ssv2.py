"""VideoMAE on Something-Something v2, from its pre-training: 16 frames over the whole video.

Variants: small (top-1 66.8) and base (70.6), by the recipes of the official repository, tested on
2 clips x 3 crops. Nothing is mirrored, because some classes differ in left and right. Give the
pre-trained file of small as `--config.init.weights=FILE`.
"""

from configs import base, datasets
from configs.videomae_k400 import recipe, videomae_run

# Batch, epochs, learning rate for a batch of 256, layer-wise decay.
RECIPES = {"small": (384, 40.0, 1e-3, 0.7), "base": (384, 30.0, 5e-4, 0.75)}


def get_config(variant="base"):
    run = base.pick(RECIPES, variant)
    # The published files are those of Hugging Face.
    model = dict(name="videomae", variant=variant, epsilon=1e-12, norm_epsilon=1e-5)
    c = videomae_run(dict(model, drop_path=0.1), *run)
    c.data = datasets.something()
    c.data.recipe = recipe(stride=1, sampler=("uniform",), clips=2)
    c.task.augment.flip = 0.0
    c.init.weights = "videomae_base_pretrained_ssv2" if variant == "base" else ""
    return c
