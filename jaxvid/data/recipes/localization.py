"""Recipe of temporal localization on features that were extracted before."""

import numpy as np

from jaxvid.config.values import Count, Natural
from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.transforms import features

CHANNELS = 2048  # of an example without a given number: those of a ResNet-50


def build(
    split: str, *, frames: Count = 100, channels: Natural = 0, resample: bool = False
) -> list[Transform]:
    """The transforms of every split.

    Args:
      frames: Number of feature vectors of a video that the model takes.
      channels: Number of channels that the features must have; 0 accepts any number.
      resample: Interpolate features of another length to `frames`. If False, another length is an
        error.
    """
    check_split(split)
    return [
        features.Load(channels),
        features.Resample(frames, exact=not resample),
        features.Pack(),
    ]


def example(frames: int = 100, channels: int = 0, **_) -> Sample:
    """Return a sample as sources return it, features of zeros, to infer shapes from."""
    return {"feature": np.zeros((frames, channels or CHANNELS), np.float32), "duration": 1.0}
