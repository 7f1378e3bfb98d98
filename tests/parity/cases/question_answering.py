"""Goldens of models in which texts attend to videos."""

import jax.numpy as jnp
from einops import rearrange

from tests.parity.cases.case import Case

UNUSED = r".*temp_model\.linear\..*"


def pairs(x):
    """Each video with its text."""
    video = rearrange(x["video"], "n t c h w -> n t h w c")
    return {"video": video, "text": x["text_ids"].astype("int32")[:, None]}


def questions(x):
    video = rearrange(x["video"], "n t c h w -> n t h w c")
    question, answer = (x[key].astype("int32")[:, None] for key in ("question_ids", "answer_ids"))
    return {"video": video, "question": question, "answer": answer}


def compared(out, states, frames):
    """Return the outputs under their published names."""
    return {
        "image_feat": frames / jnp.linalg.norm(frames, axis=-1, keepdims=True),
        "text_feat": out.text[:, 0],
        "image_embeds_mean": out.tokens.mean(1),
        "text_embeds": states[:, 0],
        "itm_logits": out.match[:, 0],
        "sim_t2i": out.text[:, 0] @ out.video.T / out.temperature,
    }


def answered(out, states, *_):
    return {
        "question_state": states[:, 0, :4],
        "first_token_logits": out.first[:, ::16],
        "answer_loss": out.loss[:, 0],
    }


RETRIEVAL = Case(
    dict(name="vindlu", variant="beit-base"),
    pairs,
    lambda _: {},
    outputs=compared,
    inner="vision_proj layer_8",
    arrays=("text_ids",),
    unused=UNUSED,
)
CASES = {
    "vindlu_retrieval": RETRIEVAL,
    "vindlu_retrieval_mc": RETRIEVAL,
    "vindlu_vqa": Case(
        dict(name="vindlu", variant="beit-base", decoder=3),
        questions,
        lambda _: {},
        outputs=answered,
        inner="text",
        arrays=("question_ids", "answer_ids"),
        unused=UNUSED,
    ),
}
