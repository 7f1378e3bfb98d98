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
class Times:
    """Add the times of rows in seconds: `row_time` of the first one, and `row_step` between them.

    Attributes:
      span: number of steps that the clip of a row covers. The time of a row is the middle of its
        clip. Clips of 16 frames every 4 frames cover 4 steps; 1 means clips that do not overlap.
    """

    span: float = 1.0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        step = sample["duration"] / (len(sample["feature"]) - 1 + self.span)
        return {**sample, "row_time": self.span / 2 * step, "row_step": step}


@dataclass(frozen=True)
class RandomWindow:
    """Cut a random part with an action out of the features, for training (Zhang et al., 2022).

    The part has `frames` rows, or, of a video with fewer rows, a random share of them. An action is
    kept if enough of it is in the part, and is shortened to the part.

    Attributes:
      frames: maximum number of rows of the part.
      shares: smallest and largest share of the rows of a video with at most `frames` rows.
      least: share of an action that must be in the part.
      trials: number of parts that are tried until one has an action.
    """

    frames: int
    shares: tuple[float, float] = (0.9, 1.0)
    least: float = 0.5
    trials: int = 200

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        feature, first, step = sample["feature"], sample["row_time"], sample["row_step"]
        rows, size = len(feature), self.frames
        if rows <= self.frames:
            low, high = (min(max(round(share * rows), 1), rows) for share in self.shares)
            size = int(rng.integers(low, high + 1))
        if size == rows or "segments" not in sample:
            return sample
        at = (np.asarray(sample["segments"]) - first) / step
        length = np.maximum(at[:, 1] - at[:, 0], 1e-6)
        real = np.asarray(sample["segment_label"]) >= 0

        def part() -> tuple[int, np.ndarray, np.ndarray]:
            start = int(rng.integers(0, rows - size + 1))
            cut = np.clip(at, start, start + size)
            return start, cut, real & ((cut[:, 1] - cut[:, 0]) / length >= self.least)

        start, cut, kept = part()
        for _ in range(self.trials):
            if kept.any():
                break
            start, cut, kept = part()
        return {
            **sample,
            "feature": feature[start : start + size],
            "duration": sample["duration"] - (rows - size) * step,
            "segments": np.where(kept[:, None], (cut - start) * step + first, 0),
            "segment_label": np.where(kept, sample["segment_label"], -1),
        }


@dataclass(frozen=True)
class Pad:
    """Add rows of zeros at the end up to `frames` rows, and `rows`, the number before.

    Attributes:
      key: option of the recipe that sets `frames`, for the error.

    Raises:
      UserError: the features have more rows.
    """

    frames: int
    key: str = "frames"

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        rows = len(sample["feature"])
        if rows > self.frames:
            raise UserError(
                f"{sample.get('path', 'the features')}: {rows} rows, but at most {self.frames} are"
                f" expected; increase config.data.recipe.{self.key}, or take windows of the video"
            )
        feature = np.pad(sample["feature"], ((0, self.frames - rows), (0, 0)))
        return {**sample, "feature": feature, "rows": rows}


@dataclass(frozen=True)
class Pack:
    """Keep the keys to batch: `feature`, `duration`, `segments` (k, 2), `segment_label` (k,).

    A video without annotations gets one segment of padding.

    Attributes:
      others: names of further keys to keep: their arrays, and numbers as float32 or int32.
    """

    others: tuple[str, ...] = ()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return {
            "feature": np.ascontiguousarray(sample["feature"], np.float32),
            "duration": np.float32(sample["duration"]),
            "segments": np.asarray(sample.get("segments", np.zeros((1, 2))), np.float32),
            "segment_label": np.asarray(sample.get("segment_label", [-1]), np.int32),
            **{name: _array(sample[name]) for name in self.others},
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


def _array(value: np.ndarray | float) -> np.ndarray | np.number:
    """Return an array as it is, and a number with 32 bits."""
    if isinstance(value, np.ndarray):
        return value
    return np.int32(value) if isinstance(value, int) else np.float32(value)
