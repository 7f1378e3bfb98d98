"""VideoMAE with an action head on AVA-Kinetics, tested on AVA 2.2: boxes of key frames, 20 epochs.

Variants: base (mAP 33.6) and large (38.7), from weights that were fine-tuned on Kinetics-400.
"""

from configs import base, datasets

# learning rate for a batch of 64, layer-wise decay, blocks
RECIPES = {"base": (1.25e-4, 0.75, 12), "large": (2.5e-4, 0.8, 24)}


def get_config(variant="base"):
    lr, decay, depth = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 20.0
    c.batch = 64
    # Frames of any size: the table of positions is resized to their grid.
    backbone = dict(name="videomae", variant=variant, final_norm=True, resize=True, drop_path=0.2)
    c.model = dict(name="fast_rcnn", backbone=backbone, background=True, dropout=0.5)
    c.task = datasets.ava_task()
    c.data = datasets.ava_kinetics(16, 4)
    c.init.weights = f"videomae_{variant}_16x4_k400"
    c.init.skip = ("head/.*", "backbone/norm/.*")
    rates = dict(lr=lr, base_batch=64, lr_scale=base.layer_decay(decay, depth))
    weights = dict(weight_decay=0.05, decay_scale=base.NO_DECAY_OF_VECTORS)
    c.optim = dict(name="adamw", clip=40.0, **rates, **weights)
    warmup = dict(begin=5.0, warmup=5.0, warmup_by="step", warmup_factor=0.1)
    c.schedule = dict(name="cosine", by="step", **warmup)
    c.best = "val/map"
    return c
