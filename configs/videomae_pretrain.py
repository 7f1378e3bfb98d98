"""The pre-training of VideoMAE: nine tenths of each clip are hidden, and restored from the rest.

    python -m jaxvid.main --config videomae_pretrain:own_small --config.data.root=DIR

Variants: small, base, large and huge on Kinetics-400, 1600 epochs of 16x4 frames, by the recipe of
the official repository; own_small, own_base and mini on your own clips, in the layouts of
finetune.py, whose labels are not used. mini is a small network for minutes on a CPU. The encoder
starts a recognizer with `--config videomae_k400:base --config.init.weights=WORKDIR`.
"""

from configs import base, datasets
from jaxvid import plug

# Batch on Kinetics-400.
BATCHES = {"small": 1024, "base": 2048, "large": 512, "huge": 1024}
OWN = {"own_small": "small", "own_base": "base", "mini": "mini"}
VARIANTS = {name: name for name in BATCHES} | OWN


def get_config(variant="base"):
    size = base.pick(VARIANTS, variant)
    own, mini = variant in OWN, variant == "mini"
    c = base.config()
    c.batch = 64 if own else BATCHES[size]
    c.epochs = 200.0 if own else 1600.0
    c.model = dict(name="videomae_pretrain", variant=size, remat=size == "huge")
    c.task = plug.spec("tasks", "masked", patch=(2, 4, 4) if mini else (2, 16, 16))
    c.data = datasets.own(dict(name="user_clips", train_share=0.95))
    c.data = c.data if own else datasets.kinetics(400)
    pixels = dict(frames=16, stride=4, size=224, crop=("scales", 13))
    if mini:
        c.dtype = "float32"
        pixels = dict(frames=8, stride=2, size=32, short_side=32, crop=("resized", (0.5, 1.0)))
    c.data.recipe = plug.spec("data.recipes", "clip", **pixels)
    c.optim = dict(name="adamw", lr=1.5e-4, base_batch=256, b2=0.95, weight_decay=0.05, clip=0.0)
    c.optim.decay_scale = (*base.NO_DECAY_OF_VECTORS, (".*/mask_token", 0.0))
    warmup = dict(warmup=40.0, warmup_by="step", warmup_factor=0.0)
    c.schedule = dict(name="cosine", by="step", begin=40.0, final=1e-5 / 1.5e-4, **warmup)
    if own:
        c.schedule.update(begin=10.0, warmup=10.0)
    if mini:
        c.batch = 16
        c.optim.update(lr=1e-3, base_batch=0)
    c.eval_every = 20.0
    c.best = ""
    return c
