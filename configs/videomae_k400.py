"""VideoMAE on Kinetics-400, from its masked pre-training: 16x4 frames, tested on 5 clips x 3 crops.

Variants: small (top-1 79.0), base (81.3), large (85.3) and huge (86.6), by the recipes of the
official repository. The pre-trained files of small and huge have no link that a program can follow:
download one and give it as `--config.init.weights=FILE`.
"""

from ml_collections import ConfigDict

from configs import base, datasets
from jaxvid import plug

# Batch, epochs, learning rate for a batch of 256.
RECIPES = {
    "small": (384, 150.0, 5e-4),
    "base": (384, 75.0, 5e-4),
    "large": (128, 35.0, 2e-3),
    "huge": (512, 50.0, 1e-3),
}
DEPTHS = {"small": 12, "base": 12, "large": 24, "huge": 32}


def videomae_run(
    model: dict, batch: int, epochs: float, lr: float, decay: float = 0.75, final: float = 1e-6
) -> ConfigDict:
    """Return a run that fine-tunes a plain vision transformer, as the authors of VideoMAE do.

    Each clip is decoded once and augmented twice.

    Args:
      model: Spec of the model.
      batch: Videos of a step.
      epochs: Epochs of the run, of which the first five are a warm-up.
      lr: Learning rate for a batch of 256.
      decay: Rate of the layer-wise decay of the learning rate.
      final: Learning rate at the end, for a batch of 256.
    """
    c = base.config()
    c.epochs = epochs
    c.batch = batch
    c.model = dict(model, dropout=0.0, remat=False)
    augment = dict(flip=0.5, erasing=0.25, mixup=0.8, cutmix=1.0)
    c.task = plug.spec("tasks", "recognition", smoothing=0.1, augment=augment, average="prob")
    c.data = datasets.kinetics(400)
    c.init.skip = ("head/.*",)
    c.optim = adamw(lr, base.layer_decay(decay, DEPTHS[model["variant"]]))
    warmup = dict(begin=5.0, warmup=5.0, warmup_by="step", warmup_factor=0.0)
    c.schedule = dict(name="cosine", by="step", final=final / lr, **warmup)
    return c


def adamw(lr: float, lr_scale: tuple) -> dict:
    """Return the optimizer; `lr` is for a batch of 256."""
    rates = dict(lr=lr, base_batch=256, lr_scale=lr_scale)
    decay = dict(weight_decay=0.05, decay_scale=base.NO_DECAY_OF_VECTORS)
    return dict(name="adamw", clip=0.0, **rates, **decay)


def recipe(**options) -> dict:
    """Return the data recipe of 16 frames, with the policy of all runs."""
    policy = dict(policy=("randaugment_noisy", 4, 7.0), policy_first=True, repeats=2)
    return plug.spec("data.recipes", "clip", frames=16, size=224, crops=3, **policy, **options)


def get_config(variant="base"):
    run = base.pick(RECIPES, variant)
    drop_path = 0.2 if variant == "huge" else 0.1
    c = videomae_run(
        dict(name="videomae", variant=variant, drop_path=drop_path),
        *run,
        final=1e-5 if variant == "huge" else 1e-6,
    )
    c.data.recipe = recipe(stride=4, clips=5)
    if variant in ("base", "large"):
        c.init.weights = f"videomae_{variant}_pretrained_k400"
    else:  # as in their published files, which are those of Hugging Face
        c.model.update(epsilon=1e-12, norm_epsilon=1e-5)
    if variant == "huge":
        c.model.update(dropout=0.5, remat=True)
    return c
