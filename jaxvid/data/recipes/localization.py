"""Temporal localization on features that were extracted before: a fixed number of rows a video."""

import numpy as np

from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.transforms import features


def build(
    split: str, *, frames: int = 100, channels: int = 0, resample: bool = False
) -> list[Transform]:
    """The transforms of every split.

    Args:
      frames: rows of features.
      channels: that they must have; 0 takes any.
      resample: stretch or shrink features of another length; otherwise they are an error.
    """
    check_split(split)
    return [
        features.Load(channels),
        features.Resample(frames, exact=not resample),
        features.Pack(),
    ]


def example(frames: int = 100, channels: int = 0, **_) -> Sample:
    """A sample as a source gives it, for its shapes: a video of zeros."""
    return {"feature": np.zeros((frames, channels), np.float32), "duration": 1.0}
