"""ActionCLIP on your own clips, whose classes are known by their names, from its weights.

    python -m jaxvid.main --config actionclip_own --config.data.root=DIR
    python -m jaxvid.predict CLIP --checkpoint runs/actionclip_own --labels "new class" other

DIR holds clips as for finetune.py; classes need names that say what is seen: "playing golf".
Predictions choose from them, or from any other labels. `mini` is small and trains from random
values on a CPU.
"""

from configs import base, datasets
from jaxvid import plug
from jaxvid.config import loading


def get_config(variant="vitb32"):
    base.pick(dict.fromkeys(("vitb32", "vitb16", "mini")), variant)
    mini = variant == "mini"
    published = loading.load("clip4clip_msrvtt:vitb32")  # also a fine-tuning of CLIP
    c = base.config()
    c.dtype = "float32" if mini else "bfloat16"
    c.epochs = 40.0 if mini else 20.0
    c.batch = 8 if mini else 64
    frames = 4 if mini else 8
    c.model = dict(
        name="actionclip", variant=variant, frames=frames, layers=1 if mini else 6, remat=False
    )
    c.task = plug.spec("tasks", "prompted")
    c.data = datasets.own(dict(name="user_clips", train_share=0.8, texts=True))
    small = dict(size=32, short_side=32) if mini else {}
    c.data.recipe = plug.spec("data.recipes", "video_text", frames=frames, **small)
    c.optim = dict(name="adamw", lr=1e-3, weight_decay=0.02)
    if not mini:
        c.optim = {**published.optim, "lr": 5e-6, "freeze": ()}
        c.init.weights = "published"
    c.schedule = published.schedule
    return c
