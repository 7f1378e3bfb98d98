"""CLIP4Clip on MSR-VTT: 12 frames of a video, 9,000 videos with 20 captions each.

    python -m jaxvid.main --config configs/clip4clip_msrvtt.py --config.init.weights=FILE

FILE holds CLIP's weights under OpenAI's names, as open_clip publishes them.
"""

from configs import common
from jaxvid import plug

# What CLIP4Clip leaves as it was: how patches and tokens come in.
FROZEN = (
    "backbone/(class_embedding|positional_embedding|conv1/.*|ln_pre/.*)",
    "text/(token_embedding/.*|positional_embedding)",
)


def get_config(variant="vitb32"):
    common.pick(dict.fromkeys(("vitb32", "vitb16")), variant)
    c = common.base()
    c.epochs = 5.0
    c.batch = 128
    c.model = dict(name="clip4clip", variant=variant, remat=False)
    c.task = plug.spec("tasks", "retrieval")
    c.data = dict(
        root="data/video_retrieval/msrvtt", num_classes=None, names="", checks=common.CHECKS,
        train=dict(name="video_text", file="train_9k.json", prefix="videos"),
        val=dict(name="video_text", file="test_JSFUSION.json", prefix="videos"),
        recipe=plug.spec("data.recipes", "video_text"),
    )  # fmt: skip
    c.optim = dict(
        name="adamw", lr=1e-5, base_batch=128, weight_decay=0.05,
        freeze=FROZEN, decay_scale=((".*/bias", 0.0), (".*/ln_[^/]*/scale", 0.0)),
    )  # fmt: skip
    c.schedule = dict(name="cosine", begin=0.5, warmup=0.5, warmup_factor=0.05)
    c.best = "val/t2v_r1"
    return c
