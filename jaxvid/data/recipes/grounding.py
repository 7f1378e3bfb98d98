"""Recipe of language grounding: features of a video in equal parts, and the words of a sentence."""

import numpy as np

from jaxvid.config.values import Count, Natural
from jaxvid.data.recipes import localization
from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.transforms import features
from jaxvid.data.transforms.words import NumberWords


def build(
    split: str,
    *,
    frames: Count = 32,
    length: Count = 24,
    channels: Natural = 0,
    interval: Count = 8,
    vocabulary: str = "",
) -> list[Transform]:
    """The transforms of every split.

    Args:
      frames: Number of equal parts of a video, a multiple of 4.
      length: Maximum number of words of a sentence. Longer sentences are cut.
      channels: Number of channels that the features must have; 0 accepts any number.
      interval: Frames between rows of the features, where the number of frames of a video is known.
      vocabulary: File of the numbers of words, {"WORD": NUMBER}, for published weights. Checkpoints
        of our own contain their vocabulary.
    """
    check_split(split)
    return [
        features.Load(channels),
        features.PoolParts(frames, interval),
        NumberWords(length, vocabulary),
        features.Pack(("position", "query")),
    ]


def example(channels: int = 0, **_) -> Sample:
    """Return a sample as sources return it, features of zeros, to infer shapes from."""
    feature = np.zeros((64, channels or localization.CHANNELS), np.float32)
    return {"feature": feature, "duration": 1.0, "query": "word", "vocabulary": ("word",)}
