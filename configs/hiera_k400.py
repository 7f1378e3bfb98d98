"""Hiera on Kinetics-400 from its masked pre-training: 16 frames at stride 4, 5 clips x 3 crops.

Variants: base_16x4 (top-1 84.0), base-plus_16x4 (85.0), large_16x4 (87.3) and huge_16x4 (87.8).
Clips and test views are those of the authors, who published weights, but neither configs nor code
for training. The rest is ours: the augmentations of MViT v2, and layer-wise decay of the learning
rate.
"""

from configs import base, datasets
from configs.mvit_k400 import MIX, PIXELS
from jaxvid import plug

# Drop path, layer-wise decay, number of blocks, epochs.
RECIPES = {
    "base_16x4": (0.2, 0.8, 24, 100.0),
    "base-plus_16x4": (0.2, 0.8, 24, 100.0),
    "large_16x4": (0.5, 0.9, 48, 50.0),
    "huge_16x4": (0.5, 0.9, 48, 50.0),
}


def get_config(variant="base_16x4"):
    drop_path, decay, depth, epochs = base.pick(RECIPES, variant)
    size = variant.partition("_")[0]
    c = base.config()
    c.epochs = epochs
    c.batch = 256
    c.model = dict(name="hiera", variant=size, drop_path=drop_path, dropout=0.0, remat=False)
    augment = dict(flip=0.5, erasing=0.25, **MIX)
    c.task = plug.spec("tasks", "recognition", smoothing=0.1, augment=augment, **PIXELS)
    c.data = datasets.kinetics(400)
    policy = ("randaugment_noisy", 4, 7.0)
    views = dict(repeats=2, clips=5, crops=3)
    c.data.recipe = plug.spec(
        "data.recipes", "clip", frames=16, stride=4, size=224, policy=policy, **views
    )
    c.init.weights = f"hiera_{size}_mae_k400"
    c.init.skip = ("head/.*",)
    first = "backbone/(patch_embed/.*|pos_embed_.*)"
    c.optim = dict(
        name="adamw",
        lr=8e-4,
        base_batch=256,
        weight_decay=0.05,
        clip=1.0,
        lr_scale=base.layer_decay(decay, depth, first=first),
        decay_scale=(*base.NO_DECAY_OF_VECTORS, ("backbone/pos_embed_.*", 0.0)),
    )
    c.schedule = dict(name="cosine", by="step", warmup=10.0, warmup_by="step", warmup_factor=0.01)
    c.eval_every = 5.0
    return c
