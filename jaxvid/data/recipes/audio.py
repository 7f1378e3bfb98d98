"""Recipe of models that hear: log-mel spectrograms of clips.

The defaults are those with which MMAction2 trains its audio models. The result is `audio` float32
(v t f 1), with values from 0 (silence) to 1.
"""

from typing import Literal

import numpy as np

from jaxvid.config.values import Count, NonNegative, Positive
from jaxvid.data.audio.log_mel import LogMel
from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.transforms import audio, sampling, video


def build(
    split: str,
    *,
    frames: Count = 64,
    stride: Count = 1,
    rows: Count = 128,
    clips: Count = 1,
    beyond: Literal["loop", "last"] = "loop",
    fps: Positive = 30.0,
    amplify: tuple[Positive, Positive] = (1.0, 1.0),
    rate: Count = 16000,
    window: Count = 1280,
    hop: Count = 320,
    bins: Count = 80,
    fmin: NonNegative = 125.0,
    fmax: Positive = 7600.0,
) -> list[Transform]:
    """The transforms of one split.

    Args:
      split: "train" (a random clip), "val" (one clip) or "test" (`clips` clips).
      frames: Length of a clip, in frames of the video.
      stride: Distance between neighboring frames of a clip, in frames of the video.
      rows: Rows of the spectrogram of a clip. A clip with more rows is cut, and one with fewer is
        padded with silence.
      clips: Clips of a sample in test.
      beyond: How a clip that is longer than the sound continues: "loop" at its start, as published,
        and "last" with its last frame, so that the clip contains the whole sound once.
      fps: Frame rate of the video, where the list does not have its number of frames.
      amplify: Smallest and largest factor by which a training clip is made louder or quieter.
      rate: Samples per second; sounds of other rates are resampled.
      window: Samples of the Fourier transform of a row.
      hop: Samples from one row to the next.
      bins: Number of mel frequencies. Files of features must have this number of columns.
      fmin: Lowest frequency in Hz.
      fmax: Highest frequency in Hz.
    """
    check_split(split)
    features = LogMel(rate, window, hop, bins, fmin, fmax)
    views = clips if split == "test" else 1
    sampler = sampling.SampleClips(frames, stride, views, split == "train", beyond)
    augment = [audio.Amplify(*amplify)] if split == "train" and set(amplify) != {1.0} else []
    return [
        audio.Load(features),
        *augment,
        audio.SelectRows(sampler, rows, fps / features.rows_per_second),
        video.Pack(),
    ]


def example(bins: int = 80, **_) -> Sample:
    """Return a sample as sources return it, a silent spectrogram, to infer shapes from."""
    return {"audio": np.zeros((200, bins), np.float32)}
