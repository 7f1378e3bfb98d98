"""Features of a video instead of its frames, and the segments of its actions.

Shape letters: t feature vectors (rows), c channels, k segments.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from jaxvid.data.annotations import feature_files
from jaxvid.data.sample import Sample
from jaxvid.errors import UserError


@dataclass(frozen=True)
class Load:
    """Read `feature` float32 (t, c) from `path`, and `duration` if the file contains it.

    Attributes:
      channels: expected number of channels; 0 accepts any number.

    Raises:
      VideoError: the file cannot be read.
      UserError: the number of channels is wrong, or the duration is unknown.
    """

    channels: int = 0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        name = sample.get("path", "the features")
        if "feature" not in sample:
            feature, made = feature_files.read(sample["path"])
            sample = {**sample, "feature": feature}
            if made:
                sample = {"duration": made.seconds(len(feature))} | sample
        if "duration" not in sample:
            raise UserError(f'{name}: how many seconds does it cover? Give "duration"')
        if self.channels not in (0, sample["feature"].shape[1]):
            raise UserError(
                f"{name}: {sample['feature'].shape[1]} channels, but {self.channels} are expected"
                " (config.data.recipe.channels): features of another backbone?"
            )
        return sample


@dataclass(frozen=True)
class Resample:
    """Resample `feature` (t, c) to (frames, c), as means over equal parts of the video.

    The time of a row is the middle of the part of the video that it covers. Values between two rows
    are interpolated. A row of the result is the mean of `points` values, which are evenly spaced.

    Attributes:
      frames: number of rows of the result. Features with this number of rows are not changed.
      points: number of values that are averaged for each row of the result.
      exact: raise a UserError if the features have another number of rows.
    """

    frames: int
    points: int = 3
    exact: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        feature = sample["feature"]
        rows = len(feature)
        if rows == self.frames:
            return sample
        if self.exact:
            raise UserError(
                f"{sample.get('path', 'the features')}: {rows} rows, but {self.frames} are"
                " expected; set config.data.recipe.resample=True to stretch or shrink them"
            )
        count = self.frames * self.points
        at = np.clip((np.arange(count) + 0.5) / count * rows - 0.5, 0, rows - 1)
        low = np.minimum(at.astype(int), max(rows - 2, 0))
        share = (at - low)[:, None].astype(np.float32)
        values = feature[low] * (1 - share) + feature[np.minimum(low + 1, rows - 1)] * share
        return {**sample, "feature": values.reshape(self.frames, self.points, -1).mean(1)}


@dataclass(frozen=True)
class Pack:
    """Keep the keys to batch: `feature`, `duration`, `segments` (k, 2), `segment_label` (k,).

    A video without annotations gets one segment of padding.

    Attributes:
      others: names of further arrays to keep.
    """

    others: tuple[str, ...] = ()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return {
            "feature": np.ascontiguousarray(sample["feature"], np.float32),
            "duration": np.float32(sample["duration"]),
            "segments": np.asarray(sample.get("segments", np.zeros((1, 2))), np.float32),
            "segment_label": np.asarray(sample.get("segment_label", [-1]), np.int32),
            **{name: sample[name] for name in self.others},
        }


@dataclass(frozen=True)
class PoolParts:
    """Divide a video into equal parts, and take the maximum of the rows of `feature` in each.

    The result is `feature` (parts, c) and `position` (parts, 2), start and end of each part as
    shares of the video. A row on the border of two parts belongs to both, as published for DRN.

    Attributes:
      parts: number of parts.
      interval: frames between rows, for samples that contain `frame_count`, the number of frames of
        the video. The parts of other samples are computed from rows alone.
    """

    parts: int
    interval: int = 8

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        feature, edges = sample["feature"], np.arange(self.parts + 1)
        rows = len(feature)
        if count := sample.get("frame_count"):
            frames = ((count - 1) / self.parts * edges).astype(int)
            at, shares = frames // self.interval, frames / count
        else:
            at, shares = edges * rows // self.parts, edges / self.parts
        at = np.minimum(at, rows - 1)
        pooled = [feature[start : end + 1].max(0) for start, end in pairwise(at)]
        position = np.stack([shares[:-1], shares[1:]], 1).astype(np.float32)
        return {**sample, "feature": np.stack(pooled), "position": position}
