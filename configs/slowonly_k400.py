"""SlowOnly on Kinetics-400: 4 frames at stride 16 or 8 at stride 8, tested on 10 clips x 3 crops.

Variants: from scratch r50_4x16 (top-1 72.68), r50_8x8 (74.82), r101_8x8 (76.28); from image weights
r50_4x16_in1k (74.83), r50_8x8_in1k (75.96) and, with non-local blocks, r50_4x16_in1k_nl (74.84),
r50_8x8_in1k_nl (76.35).
"""

from configs import base, datasets
from jaxvid import plug

# MMEngine counts milestones from where a schedule begins, here after ten epochs of warm-up.
STEPS = base.multistep(100.0, 140.0, warmup=10.0)
COSINE = dict(name="cosine", by="epoch", begin=34.0)
COSINE |= dict(warmup=34.0, warmup_by="epoch", warmup_factor=0.1)
# model, frames, stride, epochs, learning rate for 128 clips, schedule, image weights, non-local
RECIPES = {
    "r50_4x16": ("r50", 4, 16, 256.0, 0.2, COSINE, False, ""),
    "r50_8x8": ("r50", 8, 8, 256.0, 0.2, COSINE, False, ""),
    "r101_8x8": ("r101", 8, 8, 196.0, 0.2, COSINE, False, ""),
    "r50_4x16_in1k": ("r50", 4, 16, 150.0, 0.02, STEPS, True, ""),
    "r50_8x8_in1k": ("r50", 8, 8, 150.0, 0.02, STEPS, True, ""),
    "r50_4x16_in1k_nl": ("r50", 4, 16, 256.0, 0.01, STEPS, True, "embedded_gaussian"),
    "r50_8x8_in1k_nl": ("r50", 8, 8, 256.0, 0.01, STEPS, True, "embedded_gaussian"),
}


def get_config(variant="r50_4x16"):
    row = base.pick(RECIPES, variant)
    depth, frames, stride, epochs, lr, schedule, image, non_local = row
    c = base.config()
    c.epochs = epochs
    c.batch = 128
    c.model = dict(
        name="slowonly",
        variant=depth,
        non_local=non_local,
        non_local_scale=bool(non_local),
        dropout=0.5,
        remat=False,
    )
    c.task = plug.spec("tasks", "recognition", augment=dict(flip=0.5))
    c.data = datasets.kinetics(400)
    c.data.recipe = plug.spec(
        "data.recipes", "clip", frames=frames, stride=stride, clips=10, crops=3, test_size=256
    )
    c.init.weights = f"tsn_{depth}_in1k" if image else ""
    c.init.skip = ("head/.*", ".*/non_local/.*") if non_local else ("head/.*",)
    c.optim = base.sgd(lr, 128)
    c.schedule = dict(schedule)
    c.eval_every = 5.0
    return c
