"""VindLU on MSR-VTT: 12 frames of a video; retrieval, questions, and one caption among five.

    python -m jaxvid.main --config vindlu_msrvtt --config.init.weights=FILE
    python -m jaxvid.main --config vindlu_msrvtt:qa --config.init.weights=FILE
    python -m jaxvid.main --config vindlu_msrvtt:mc --mode eval --checkpoint vindlu_beit-base_msrvtt

FILE is vindlu_c5m_pretrain.pth, the published pre-training on five million videos and images. Texts
need bert-base-uncased-vocab.txt in the folder JAXVID_WEIGHTS_DIR. `mc` has no training set.
"""

from configs import base, datasets
from jaxvid import plug

VARIANTS = {
    "retrieval": dict(epochs=5.0, batch=128, best="val/t2v_r1"),
    "qa": dict(epochs=10.0, batch=32, best="val/accuracy"),
    "mc": dict(epochs=1.0, batch=32, best="val/top1"),
}


# Biases of the attention over time keep their decay: upstream has them under another name.
NO_DECAY = (
    (".*/temporal_attn/qkv/bias", 1.0),
    (".*/bias", 0.0),
    (".*/(norm[^/]*|[^/]*_norm)/scale", 0.0),
)


def get_config(variant="retrieval"):
    base.pick(VARIANTS, variant)
    return common("msrvtt", variant)


def common(name, variant):
    """Return the config of a data set and a variant."""
    c = base.config()
    c.update(VARIANTS[variant])
    c.model = dict(name="vindlu", variant="beit-base", remat=True)
    if variant == "qa":
        c.model.decoder = 3
        c.task = plug.spec("tasks", "question_answering")
        c.data = datasets.questions(name, length=25, answer_length=5)
    elif variant == "mc":
        c.task = plug.spec("tasks", "multiple_choice")
        c.data = datasets.choices(interpolation="bilinear")
    else:
        c.task = plug.spec("tasks", "matching")
        c.data = datasets.video_language(name)
    c.optim = dict(name="adamw", lr=1e-5, base_batch=c.batch, weight_decay=0.02, clip=50.0)
    c.optim["decay_scale"] = NO_DECAY
    c.schedule = dict(name="cosine", final=0.01)
    if variant == "qa":  # the decay would end after 11 epochs
        c.schedule.update(dict(begin=1.0, period=10.0, warmup=1.0, warmup_factor=0.01))
    return c
