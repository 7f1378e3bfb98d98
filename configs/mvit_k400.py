"""MViT v2 on Kinetics-400: two augmentations of each clip, 5 or 10 clips in test.

Variants: small_16x4 (top-1 80.6), base_32x3 (82.6), large_40x3 (85.4, also 3 crops) and
small_16x4_maskfeat (81.8), which starts from the pre-training task MaskFeat. The recipes are those
of MMAction2. Its weights of `base` and `large` are converted from those of PySlowFast.
"""

from ml_collections import ConfigDict

from configs import base, datasets
from jaxvid import plug

PIXELS = dict(mean=(114.75,), std=(57.375,))
MIX = dict(mixup=0.8, cutmix=1.0)
# Frames, stride, drop path.
RECIPES = {
    "small_16x4": (16, 4, 0.2),
    "base_32x3": (32, 3, 0.3),
    "large_40x3": (40, 3, 0.75),
    "small_16x4_maskfeat": (16, 4, 0.1),
}


def mvit_run(
    variant: str, data: dict, drop_path: float, batch: int, pixels: dict, **recipe
) -> ConfigDict:
    """Return the run of an MViT v2; configs set the epochs and the schedule.

    Args:
      variant: A variant of the model.
      data: A data set.
      drop_path: Probability of skipping the last residual branch.
      batch: Videos of a step, for which the learning rate 0.0016 is.
      pixels: Mean and standard deviation of the pixels; {} for those of ImageNet.
      recipe: Options of the data recipe.
    """
    c = base.config()
    c.batch = batch
    c.model = dict(name="mvit", variant=variant, drop_path=drop_path, dropout=0.5, remat=False)
    c.task = plug.spec("tasks", "recognition", smoothing=0.1, augment=dict(erasing=0.25), **pixels)
    c.data = data
    policy = dict(policy=("randaugment_noisy", 4, 7.0), policy_first=True)
    given = dict(stride=1, size=224, **policy) | recipe
    c.data.recipe = plug.spec("data.recipes", "clip", **given)
    c.optim = dict(name="adamw", lr=1.6e-3, base_batch=batch, weight_decay=0.05, clip=0.0)
    return c


def cosine(epochs: float, period: float, factor: float, final: float = 0.01) -> dict:
    """Return a schedule that rises in `epochs` from `factor`, then falls to `final` in `period`."""
    warmup = dict(warmup=epochs, warmup_by="step", warmup_factor=factor)
    return dict(name="cosine", by="step", begin=epochs, period=period, final=final, **warmup)


def get_config(variant="small_16x4"):
    frames, stride, drop_path = base.pick(RECIPES, variant)
    size, batch = variant.partition("_")[0], 64 if variant == "large_40x3" else 256
    clip = dict(frames=frames, stride=stride, repeats=2, clips=5)
    c = mvit_run(size, datasets.kinetics(400), drop_path, batch, PIXELS, **clip)
    c.task.augment.update(flip=0.5, **MIX)
    c.optim.update(clip=1.0, decay_scale=base.NO_DECAY_OF_VECTORS)
    c.epochs = 200.0
    c.schedule = cosine(30.0, 200.0, 0.01)  # which ends before the cosine has reached its end
    if size == "large":
        c.epochs, c.eval_every = 30.0, 3.0
        c.schedule = dict(name="cosine", by="step")
        c.optim.weight_decay = 1e-7
        c.task.augment.update(mixup=0.0, cutmix=0.0)
        c.data.recipe.update(size=312, short_side=356, crops=3)
    if variant == "small_16x4_maskfeat":
        c.epochs = 100.0
        c.schedule = cosine(20.0, 80.0, 1 / 600, final=1 / 600)
        before = "backbone/(patch_embed/.*|cls_token)"
        c.optim.update(lr=9.6e-3, clip=5.0, lr_scale=base.layer_decay(0.75, 16, first=before))
        c.model.update(widen="mlp", dropout=0.0, head_std=2e-5)
        c.data.recipe.update(policy=("randaugment_noisy", 2, 7.0), clips=10)
        c.init.weights = "mvit_small_maskfeat-pre_k400"
        c.init.skip = ("head/.*", "backbone/norm/.*")  # the file has a norm of other features
    return c
