"""Recipe of temporal detection on features of any length, which padding makes equally long."""

from jaxvid.config.values import Count, Natural, Positive, Rate
from jaxvid.data.recipes import localization
from jaxvid.data.sample import Sample, Transform, check_split
from jaxvid.data.transforms import features


def build(
    split: str,
    *,
    frames: Count = 2304,
    test_frames: Natural = 0,
    channels: Natural = 0,
    resample: bool = False,
    span: Positive = 1.0,
    shortest: Rate = 0.9,
    least: Rate = 0.5,
) -> list[Transform]:
    """The transforms of a split.

    Args:
      frames: Number of feature vectors (rows) of a sample in training. Videos with fewer rows are
        padded, and of longer ones a random part is taken.
      test_frames: Number of rows in evaluation and prediction, to which all videos are padded; 0
        means `frames`. A video with more rows is an error.
      channels: Number of channels that the features must have; 0 accepts any number.
      resample: Interpolate the features of every video to `frames` rows.
      span: Number of steps that the clip of a row covers: frames of a clip, divided by frames from
        one clip to the next.
      shortest: In training, a video that fits is cut to a random share of its rows, from this one
        to 1.
      least: Share of an action that must be in a part of a video, or the part does not have it.
    """
    check_split(split)
    steps: list[Transform] = [features.Load(channels)]
    if resample:
        steps.append(features.Resample(frames))
    steps.append(features.Times(1.0 if resample else span))
    if split == "train":
        steps.append(features.RandomWindow(frames, (shortest, 1.0), least))
    size, key = (
        (test_frames, "test_frames") if split != "train" and test_frames else (frames, "frames")
    )
    return [*steps, features.Pad(size, key), features.Pack(("rows", "row_time", "row_step"))]


def example(frames: int = 2304, channels: int = 0, **_) -> Sample:
    """Return a sample as sources return it, features of zeros, to infer shapes from."""
    return localization.example(frames, channels)
