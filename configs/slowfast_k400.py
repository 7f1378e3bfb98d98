"""SlowFast on Kinetics-400: clips of 32 frames at stride 2, 256 epochs, 10 clips x 3 crops.

Variants name the slow pathway's frames: r50_4x16 (top-1 75.55), r50_8x8 (76.80), r50_8x8_steplr
(76.65: steps instead of a cosine, norms on the lateral connections), r50_8x8_multigrid (76.07: the
same with multigrid training and precise BN), r101-r50_4x16 (77.03, a slow ResNet-101 and a fast
ResNet-50), r101_8x8 (78.65).
"""

from configs import base, datasets
from jaxvid import plug

# model, ratio of the pathways' frames, frames a lateral convolution spans, batch, steps
RECIPES = {
    "r50_4x16": ("r50", 8, 5, 64, False),
    "r50_8x8": ("r50", 4, 7, 64, False),
    "r50_8x8_steplr": ("r50", 4, 7, 64, True),
    "r50_8x8_multigrid": ("r50", 4, 7, 64, True),
    "r101-r50_4x16": ("r101-r50", 8, 5, 256, False),
    "r101_8x8": ("r101", 4, 7, 64, False),
}


def get_config(variant="r50_4x16"):
    depth, alpha, fusion, batch, steps = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = 256.0
    c.batch = batch
    c.model = dict(
        name="slowfast",
        variant=depth,
        alpha=alpha,
        fusion=fusion,
        lateral_norm=steps,
        dropout=0.5,
        remat=False,
    )
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5))
    c.data = datasets.kinetics(400)
    c.data.recipe = plug.spec(
        "data.recipes", "clip", frames=32, stride=2, clips=10, crops=3, test_size=256
    )
    c.optim = base.sgd(0.1 * batch / 64, batch)
    c.schedule = dict(
        name="multistep" if steps else "cosine",
        by="epoch",
        warmup=34.0,
        warmup_by="step",
        warmup_factor=0.1,
    )
    if steps:
        c.schedule.milestones = (94.0, 154.0, 196.0)
    c.eval_every = 5.0
    if variant == "r50_8x8_multigrid":
        multigrid(c)
    return c


def multigrid(c):
    """Set the cycles of Wu et al. (2020), as PySlowFast and MMAction2 0.x train."""
    c.epochs = 239.0
    c.multigrid.long = ((0.25, 0.5**0.5), (0.5, 0.5**0.5), (0.5, 1.0), (1.0, 1.0))
    c.multigrid.short = (0.5, 0.5**0.5)
    c.multigrid.epoch_factor = 1.5
    c.model.bn_groups = 8
    c.precise_bn = 200
    c.schedule.warmup_factor = 0.01
    c.eval_every = 3.0
