"""X3D on Kinetics-400 from scratch: clips at 30 frames a second, 10 clips x 3 crops.

Variants: xs_4x12, s_13x6 (top-1 73.3), m_16x5 (76.4), l_16x5. The recipe is that of PySlowFast,
whose checkpoints MMAction2 converted.
"""

from configs import base, datasets
from jaxvid import plug

# frames, stride, size in training, short sides in training, size in test, batch, epochs
RECIPES = {
    "xs_4x12": (4, 12, 160, (182, 228), 182, 128, 300.0),
    "s_13x6": (13, 6, 160, (182, 228), 182, 128, 300.0),
    "m_16x5": (16, 5, 224, (256, 320), 256, 128, 300.0),
    "l_16x5": (16, 5, 312, (356, 446), 356, 64, 256.0),
}


def get_config(variant="m_16x5"):
    frames, stride, size, sides, test_size, batch, epochs = base.pick(RECIPES, variant)
    c = base.config()
    c.epochs = epochs
    c.batch = batch
    c.model = dict(name="x3d", variant=variant.partition("_")[0], dropout=0.5, remat=False)
    pixels = dict(mean=(114.75,), std=(57.38,))
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5), **pixels)
    c.data = datasets.kinetics(400)
    c.data.recipe = plug.spec(
        "data.recipes",
        "clip",
        frames=frames,
        stride=stride,
        sampler=("clip", 30.0),
        size=size,
        short_side=sides[0],
        short_side_max=sides[1],
        crop=("plain",),
        clips=10,
        crops=3,
        test_size=test_size,
    )
    undecayed = ((".*/bn/(scale|bias)", 0.0),)
    c.optim = base.sgd(
        0.1 * batch / 128, batch, weight_decay=5e-5, clip=0.0, decay_scale=undecayed
    ) | dict(nesterov=True)
    c.schedule = dict(name="cosine", by="step", warmup=35.0, warmup_by="step", warmup_factor=0.1)
    c.eval_every = 10.0
    c.precise_bn = 200
    return c
