"""Goldens of SigLIP and SigLIP 2."""

import numpy as np
from einops import rearrange

from tests.parity.cases.case import Case
from tests.parity.cases.image_text import images_and_texts, unit


def patches_and_texts(x):
    """Patches of two images, of different grids, and texts."""
    video = rearrange(x["video"], "n p (a c) -> n 1 p a c", c=3)
    return {
        "video": video,
        "grid": np.array([[12, 20], [16, 16]], np.int32),
        "text": x["text"].astype("int32"),
    }


def in_transformers(out):
    """What Hugging Face calls the outputs."""
    image, text = unit(out.video), unit(out.text)
    cosines = {"image": image, "text": text, "per_image": out.scale * image @ text.T + out.bias}
    return cosines | {"image_raw": out.video, "text_raw": out.text}


ABOUT = dict(upstream="transformers", outputs=in_transformers, tokens="norm")
PATTERN = "b t n c -> (b t) n c"
CASES = {
    # Its texts are padded with 0; those of the published models are padded with 1.
    "siglip_b16": Case(
        dict(name="siglip", variant="b16", pad=0), images_and_texts, PATTERN, **ABOUT
    ),
    "siglip2_naflex_l4": Case(
        dict(name="siglip2", variant="b16-naflex", depth=4, text=dict(depth=4, vocabulary=32000)),
        patches_and_texts,
        PATTERN,
        **ABOUT,
    ),
}
