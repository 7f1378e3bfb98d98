"""The pre-training of Hiera: nine tenths of the mask units of each clip are hidden, and restored.

    python -m jaxvid.main --config hiera_pretrain:own_base --config.data.root=DIR

Variants: base, base-plus, large and huge on Kinetics-400, 800 epochs of 16x4 frames; own_base and
mini on your own clips, in the layouts of finetune.py, whose labels are not used. mini is a small
network for minutes on a CPU. Model, mask units and targets are those of the authors, who published
no code for training; optimizer and schedule are those of VideoMAE's pre-training. The encoder
starts a recognizer with `--config hiera_k400 --config.init.weights=WORKDIR`.
"""

from configs import base, datasets
from configs.mvit_k400 import PIXELS
from jaxvid import plug

OWN = {"own_base": "base", "mini": "mini"}
VARIANTS = {name: name for name in ("base", "base-plus", "large", "huge")} | OWN


def get_config(variant="base"):
    size = base.pick(VARIANTS, variant)
    own, mini = variant in OWN, variant == "mini"
    c = base.config()
    c.batch = 64 if own else 512
    c.epochs = 200.0 if own else 800.0
    c.model = dict(name="hiera_pretrain", variant=size, remat=size == "huge")
    patch = (2, 8, 8) if mini else (2, 16, 16)
    hiding = dict(patch=patch, unit=(1, 2, 2), hide="random", frame_step=2, target="patch")
    c.task = plug.spec("tasks", "masked", **hiding, augment=dict(flip=0.5), **PIXELS)
    c.data = datasets.own(dict(name="user_clips", train_share=0.95))
    c.data = c.data if own else datasets.kinetics(400)
    pixels = dict(frames=16, stride=4, size=224, crop=("resized", (0.5, 1.0)))
    if mini:
        c.dtype = "float32"
        c.task.ratio = 0.75
        pixels.update(frames=8, stride=2, size=32, short_side=32)
    c.data.recipe = plug.spec("data.recipes", "clip", **pixels)
    c.optim = dict(name="adamw", lr=1.5e-4, base_batch=256, b2=0.95, weight_decay=0.05, clip=0.0)
    tables = ".*/(mask_token|pos_embed.*)"
    c.optim.decay_scale = (*base.NO_DECAY_OF_VECTORS, (tables, 0.0))
    warmup = 10.0 if own else 40.0
    c.schedule = dict(name="cosine", by="step", begin=warmup, final=1e-5 / 1.5e-4)
    c.schedule.update(warmup=warmup, warmup_by="step", warmup_factor=0.0)
    if mini:
        c.batch = 16
        c.optim.update(lr=1e-3, base_batch=0)
    c.eval_every = 20.0
    c.best = ""
    return c
