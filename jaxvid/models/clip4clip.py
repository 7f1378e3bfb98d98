"""CLIP4Clip (Luo et al., 2021), https://arxiv.org/abs/2104.08860.

CLIP for videos: the mean of what it makes of the frames is compared with what it makes of a text.
Only the training is its own; the network is that of `models/clip.py`.
"""

from jaxvid.models import clip
from jaxvid.models.clip import backbone, build, example
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import clip as names

VARIANTS = clip.VARIANTS

__all__ = ["VARIANTS", "WEIGHTS", "backbone", "build", "example"]

# Weights

# "clip.visual.ln_pre.weight" -> "backbone/norm_pre/scale"
MMACTION = Weights(names.towers("clip."), order=names.ORDER, adapt=names.adapt)
WEIGHTS = {"mmaction": MMACTION, **clip.WEIGHTS}
