"""The classifier of V-JEPA 2 on Something-Something v2, on a frozen encoder: 20 epochs.

Variants: vitl (top-1 73.7; 16 frames at stride 4), vitg (77.3; 64 frames at stride 2, 384 pixels),
and, without a published classifier, vith.

The authors train 20 classifiers at once and report the best. Their learning rates are 0.0001 to
0.005, and their weight decays 0.01 to 0.8. This is one of them. The classifier pools the tokens of
two clips, one from each half of the video.
"""

from ml_collections import ConfigDict

from configs import base, datasets
from jaxvid import plug

# Frames, their stride, size in pixels, weights to start from.
CLIPS = {
    "vitl": (16, 4, 256, "vjepa2_vitl_vm22m"),
    "vith": (16, 4, 256, "vjepa2_vith_vm22m"),
    "vitg": (64, 2, 384, "vjepa2_vitg_384_vm22m"),
}


def get_config(variant="vitl"):
    frames, stride, size, weights = base.pick(CLIPS, variant)
    c = probe(variant, weights, count=2, batch=256, weight_decay=0.1)
    c.epochs = 20.0
    c.data = datasets.something()
    c.data.recipe = clips(2, frames=frames, stride=stride, size=size)
    return c


def probe(variant: str, weights: str, count: int, batch: int, weight_decay: float) -> ConfigDict:
    """Return the run of a classifier on a frozen encoder.

    Args:
      variant: A variant of the model.
      weights: The encoder.
      count: Number of clips of a video that the classifier sees.
      batch: Samples of a step.
      weight_decay: Weight decay of AdamW, also of biases and normalizations.
    """
    c = base.config()
    c.batch = batch
    c.model = dict(name="vjepa2", variant=variant, clips=count, remat=False)
    if variant == "vitg":
        c.model.pool_heads = 16
    c.task = plug.spec("tasks", "recognition", augment=dict(erasing=0.25))
    c.init.weights = weights
    c.optim = dict(name="adamw", lr=1e-3, base_batch=batch, weight_decay=weight_decay)
    c.optim.update(clip=0.0, freeze=("backbone/.*",))
    c.schedule = dict(name="cosine")
    return c


def clips(count: int, size: int, **options) -> dict:
    """Return the data recipe of a classifier that sees a number of clips of each video."""
    options |= dict(size=size, short_side=size * 256 // 224)
    train = dict(policy=("randaugment", 4, 7.0), crop=("resized",))
    sampler = ("parts", count)
    return plug.spec("data.recipes", "clip", sampler=sampler, crops=3, **train, **options)
