"""CLIP4Clip on your own videos and captions, from its MSR-VTT weights.

    python -m jaxvid.main --config retrieval_own --config.data.root=DIR
    python -m jaxvid.tools.retrieve "a dog" DIR/videos --checkpoint runs/retrieval_own

DIR holds videos/, and train and val as .json, {"a.mp4": ["a man sings", ...]}, as .csv with the
header video,caption, or as .txt with lines `a.mp4 a man sings`. `mini` is small and trains from
random values on a CPU.
"""

from configs import base, datasets
from jaxvid import plug
from jaxvid.config import loading


def get_config(variant="vitb32"):
    base.pick(dict.fromkeys(("vitb32", "mini")), variant)
    mini = variant == "mini"
    published = loading.load("clip4clip_msrvtt:vitb32")
    c = base.config()
    c.dtype = "float32" if mini else "bfloat16"
    c.epochs = 20.0 if mini else 5.0
    c.batch = 16 if mini else 64
    c.model = {**published.model, "variant": variant}
    c.task = published.task
    c.data = datasets.own(dict(name="user_captions", prefix="videos", suffix=".mp4"))
    small = dict(frames=4, size=32, short_side=32) if mini else {}
    c.data.recipe = plug.spec("data.recipes", "video_text", **small)
    c.optim = dict(name="adamw", lr=1e-3, weight_decay=0.02) if mini else published.optim
    c.schedule = published.schedule
    if not mini:
        c.init.weights = "clip4clip_vitb32_msrvtt"
    c.best = "val/t2v_r1"
    return c
