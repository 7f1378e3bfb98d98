"""Goldens of models with a tower of videos and one of texts."""

from einops import rearrange

from tests.parity.cases.case import Case


def videos_and_texts(x):
    video = rearrange(x["video"], "n t c h w -> n t h w c")
    return {"video": video, "text": x["text"].astype("int32")}


def similarity(out):
    """Features, and a hundred times their cosines."""
    video, text = (x / (x**2).sum(-1, keepdims=True) ** 0.5 for x in out[:2])
    return {"video": out.video, "text": out.text, "sim": 100 * video @ text.T}


def two_towers(name, variant, **options):
    spec = dict(name=name, variant=variant, **options)
    return Case(spec, videos_and_texts, "n t h w c -> n t c h w", outputs=similarity)


CASES = {
    "clip4clip_vitb32": two_towers("clip4clip", "vitb32"),
    "actionclip_vitb32_8": two_towers("actionclip", "vitb32"),
    "actionclip_vitb16_16": two_towers("actionclip", "vitb16", frames=16),
}
