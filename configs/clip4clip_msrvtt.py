"""CLIP4Clip on MSR-VTT: 12 frames of a video, 9,000 videos with 20 captions each.

    python -m jaxvid.main --config configs/clip4clip_msrvtt.py --config.init.weights=FILE

FILE holds CLIP's weights under OpenAI's names, as open_clip publishes them.
"""

from configs import base, datasets
from jaxvid import plug

# What CLIP4Clip leaves as it was: how patches and tokens come in.
FROZEN = (
    "backbone/(class_embedding|positional_embedding|patch_embed/.*|norm_pre/.*)",
    "text/(token_embedding/.*|positional_embedding)",
)


def get_config(variant="vitb32"):
    base.pick(dict.fromkeys(("vitb32", "vitb16")), variant)
    c = base.config()
    c.epochs = 5.0
    c.batch = 128
    c.model = dict(name="clip4clip", variant=variant, remat=False)
    c.task = plug.spec("tasks", "retrieval")
    c.data = datasets.msrvtt()
    c.optim = dict(name="adamw", lr=1e-5, base_batch=128, weight_decay=0.05, freeze=FROZEN)
    # Biases of queries, keys and values keep their decay: CLIP has them under another name.
    biases = (".*/qkv/bias", 1.0), (".*/bias", 0.0)
    c.optim.decay_scale = (*biases, (".*/norm[^/]*/scale", 0.0))
    c.schedule = dict(name="cosine", begin=0.5, warmup=0.5, warmup_factor=0.05)
    c.best = "val/t2v_r1"
    return c
