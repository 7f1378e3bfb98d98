"""X-CLIP on your own clips, whose classes are known by their names, from its weights.

    python -m jaxvid.main --config xclip_own --config.data.root=DIR
    python -m jaxvid.predict CLIP --checkpoint runs/xclip_own --labels "new class" other

DIR holds clips as for finetune.py; classes need names that say what is seen: "playing golf".
Predictions choose from them, or from any other labels. A text sees the video, so each clip is
compared with the names of all classes. `mini` is small and trains from random values on a CPU.
"""

from configs import base, datasets
from jaxvid import plug


def get_config(variant="vitb32"):
    base.pick(dict.fromkeys(("vitb32", "vitb16", "mini")), variant)
    mini = variant == "mini"
    c = base.config()
    c.dtype = "float32" if mini else "bfloat16"
    c.epochs = 40.0 if mini else 20.0
    c.batch = 8 if mini else 32
    frames = 4 if mini else 8
    c.model = dict(name="xclip", variant=variant, frames=frames, remat=False)
    c.task = plug.spec("tasks", "text_classes", smoothing=0.0 if mini else 0.1)
    c.data = datasets.own(dict(name="user_clips", train_share=0.8, all_texts=True))
    small = dict(size=32, short_side=32) if mini else {}
    c.data.recipe = plug.spec(
        "data.recipes", "video_text", frames=frames, templates=("{}",), **small
    )
    c.optim = dict(name="adamw", lr=1e-3, weight_decay=0.02)
    if not mini:
        c.optim = dict(name="adamw", lr=8e-6, b2=0.98, weight_decay=0.001, decay_scale=NO_DECAY)
        c.init.weights = f"xclip_{variant}_u8_k400"
    c.schedule = dict(name="cosine", warmup=2.0)
    return c


NO_DECAY = ((".*/(bias|scale)", 0.0),)
