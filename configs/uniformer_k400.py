"""UniFormer on Kinetics-400: 16 or 32 frames at stride 4, 110 epochs, tested on 4 clips x 1 crop.

Variants: small_16x4 (top-1 80.9), base_16x4 (82.0), base_32x4 (83.1), and small_32x4. The training
is that of the official repository, with two views of each decoded clip. MMAction2 converted its
checkpoints, and only tests them.
"""

from configs import base, datasets
from jaxvid import plug

# frames, probability of skipping the last residual branch
RECIPES = {
    "small_16x4": (16, 0.1),
    "small_32x4": (32, 0.1),
    "base_16x4": (16, 0.3),
    "base_32x4": (32, 0.3),
}


def get_config(variant="small_16x4"):
    frames, drop_path = base.pick(RECIPES, variant)
    size = variant.partition("_")[0]
    c = base.config()
    c.epochs = 110.0
    c.batch = 32
    c.model = dict(name="uniformer", variant=size, drop_path=drop_path, dropout=0.0, remat=False)
    augment = dict(flip=0.5, erasing=0.25, mixup=0.8, cutmix=1.0)
    pixels = dict(mean=(114.75,), std=(57.375,))
    c.task = plug.spec("tasks", "recognition", smoothing=0.1, augment=augment, **pixels)
    c.data = datasets.kinetics(400)
    c.data.recipe = plug.spec(
        "data.recipes",
        "clip",
        frames=frames,
        stride=4,
        size=224,
        policy=("randaugment_noisy", 4, 7.0),
        policy_first=True,
        repeats=2,
        clips=4,
    )
    c.init.weights = f"uniformer_{size}_in1k"
    c.init.skip = ("head/.*",)
    rates = dict(lr=1e-4, base_batch=32, weight_decay=0.05, clip=0.0)
    c.optim = dict(name="adamw", **rates, decay_scale=base.NO_DECAY_OF_VECTORS)
    c.schedule = dict(name="cosine", begin=10.0, warmup=10.0, warmup_factor=0.01, final=0.01)
    c.eval_every = 5.0
    return c
