"""Samplers: they select the frames of a video that form the clips.

A sampler adds `frames` (v, t) to the sample: the indices of the frames to decode, from 0. It uses
the number of frames of the open reader in `sample["reader"]`.
"""

from dataclasses import dataclass

import numpy as np

from jaxvid.data.sample import Sample
from jaxvid.data.video.decode import VideoError
from jaxvid.errors import UserError


@dataclass(frozen=True)
class SampleClips:
    """Select clips of frames at a fixed stride, like MMAction2's SampleFrames.

    In training, the video is divided into one equal part for each clip, and each clip starts at a
    random frame of its part. In evaluation, clips are evenly spaced from the start to the end of
    the video. Clips of a single frame are in the middle of their part (Wang et al., TSN, 2016).

    Attributes:
      frames: frames in a clip.
      stride: distance between neighboring frames of a clip, in frames of the video.
      clips: clips of a video.
      train: whether to select clips at random.
      beyond: replacement of frames after the end of the video: "loop" continues at the start, and
        "last" repeats the last frame.
      target_fps: frame rate at which `stride` counts. 0 uses the frame rate of the file.
      jitter: shift each frame by a random number from 0 to stride - 1.
      twice: in evaluation, use twice the number of clips, like MMAction2's twice_sample.
      keep_tail: let the parts end at the last frame instead of the last whole interval.
    """

    frames: int
    stride: int
    clips: int = 1
    train: bool = False
    beyond: str = "loop"
    target_fps: float = 0.0
    jitter: bool = False
    twice: bool = False
    keep_tail: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        reader = sample["reader"]
        if not (self.target_fps and reader.fps):
            return sample | {"frames": self.indices(reader.frames, 0.0, rng)}
        even = reader.at_rate(reader.fps)  # evenly spaced in time, even if the frame rate varies
        return sample | {"frames": even[self.indices(len(even), reader.fps, rng)]}

    def indices(self, total: int, fps: float, rng: np.random.Generator) -> np.ndarray:
        """Return indices (clips, frames) into a video of `total` frames at a constant `fps`."""
        ratio = (fps or self.target_fps) / self.target_fps if self.target_fps else 1.0
        if self.target_fps:
            span = max(1.0, self.frames * self.stride * ratio)
        elif self.train:
            span = self.frames * self.stride
        else:
            span = (self.frames - 1) * self.stride + 1
        starts = self._random(total, span, rng) if self.train else self._even(total, span)

        if self.target_fps:
            inside = np.linspace(0, span - 1, self.frames)
        else:
            inside = np.arange(self.frames) * self.stride
        indices = (starts[:, None] + inside).astype(np.int64)
        if self.jitter:
            indices += rng.integers(self.stride, size=indices.size).reshape(indices.shape)
        if self.beyond == "loop":
            return indices % total
        # The last frame of a clip that the video contains replaces those after the end.
        last = np.where(indices < total, indices, 0).max(1, keepdims=True)
        return np.where(indices < total, indices, last)

    def _even(self, total, span):
        if self.frames == 1:
            part = total / self.clips
            first = np.arange(self.clips) * part
            middle = first + part / 2
            return np.concatenate([middle, first]) if self.twice else middle
        room = max(total - span, 0)
        clips = 2 * self.clips if self.twice else self.clips
        if clips == 1:
            return np.array([room // 2])
        gap = room / (self.clips - 1)
        return (
            np.arange(clips) * np.floor(gap)
            if self.target_fps
            else np.round(np.arange(clips) * gap)
        )

    def _random(self, total, span, rng):
        clips = self.clips
        if self.keep_tail:
            gap = (total - span + 1) / clips
            if total > span - 1:
                return (np.arange(clips) * gap + rng.uniform(0, gap, clips)).astype(np.int64)
            return np.zeros(clips, np.int64)
        gap = int((total - span + 1) // clips)
        if gap > 0:
            return np.arange(clips) * gap + rng.integers(gap, size=clips)
        if total > max(clips, span):
            return np.sort(rng.integers(total - span + 1, size=clips))
        if gap == 0:
            return np.around(np.arange(clips) * ((total - span + 1) / clips)).astype(np.int64)
        return np.zeros(clips, np.int64)


@dataclass(frozen=True)
class DenseClips:
    """Select clips that start at distance `window / clips` within a window of the video.

    This is MMAction2's DenseSampleFrames. With clips of one frame, it is the dense sampling of TSM
    (Lin et al., 2019). Training uses one random window, but never the last possible one, as
    published. Evaluation uses `windows` windows that are evenly spaced. A video that is shorter
    than the window continues at its start.

    Attributes:
      frames: frames in a clip.
      stride: distance between neighboring frames of a clip, in frames of the video.
      clips: clips of a window. The result is (clips, t) in training, (windows clips, t) otherwise.
      train: whether to use one random window.
      window: length of the window, in frames of the video.
      windows: number of windows in evaluation.
    """

    frames: int
    stride: int
    clips: int = 1
    train: bool = False
    window: int = 64
    windows: int = 10

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return sample | {"frames": self.indices(sample["reader"].frames, rng)}

    def indices(self, total: int, rng: np.random.Generator) -> np.ndarray:
        """Return indices (clips, frames) into a video of `total` frames."""
        room = max(total - self.window, 0)
        if self.train:
            windows = np.array([rng.integers(room) if room else 0])
        else:
            windows = np.linspace(0, room, self.windows).astype(np.int64)
        starts = windows[:, None] + np.arange(self.clips) * (self.window // self.clips)
        return (starts.reshape(-1, 1) + np.arange(self.frames) * self.stride) % total


@dataclass(frozen=True)
class UniformFrames:
    """Select one frame from each of `frames` equal parts of the whole video.

    Neighboring parts share the frame at their border. Training uses a random frame of each part. In
    evaluation, clip k of n uses the frame at (k + 1) / (n + 1) of each part.

    Attributes:
      frames: number of parts, and of frames in a clip.
      clips: number of clips in evaluation.
      train: whether to select one random clip.
      exact: use the exact length of the parts, a fraction, as in MMAction2's UniformSample.
        Otherwise, use the number of whole frames between their borders, as in the recipes of
        SlowFast and Video Swin for Something-Something. This does not change training.
    """

    frames: int
    clips: int = 1
    train: bool = False
    exact: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return sample | {"frames": self.indices(sample["reader"].frames, rng)}

    def indices(self, total: int, rng: np.random.Generator) -> np.ndarray:
        """Return indices (clips, frames) into a video of `total` frames; one clip in training."""
        exact = np.arange(self.frames + 1) * (total - 1) / self.frames
        borders = np.round(exact).astype(np.int64)
        if self.train:
            return rng.integers(borders[:-1], borders[1:] + 1)[None]
        lengths = (total - 1) / self.frames if self.exact else np.diff(borders)
        steps = lengths / (self.clips + 1) * np.arange(1, self.clips + 1)[:, None]
        return borders[:-1] + steps.astype(np.int64)


@dataclass(frozen=True)
class ClipsEvery:
    """Select clips at a fixed distance over the whole length of an untrimmed video.

    The number of views differs between videos, so a batch must contain one video. Frames before the
    start or after the end are replaced by the first or the last frame.

    Attributes:
      frames: frames in a clip.
      stride: distance between neighboring frames of a clip, in frames of the video.
      every: distance between the centers of neighboring clips, in frames of the video.
    """

    frames: int = 1
    stride: int = 1
    every: int = 16

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return sample | {"frames": self.indices(sample["reader"].frames)}

    def indices(self, total: int) -> np.ndarray:
        """Return indices (clips, frames) into a video of `total` frames."""
        first = self.every // 2 if self.every // 2 < total else total // 2
        middles = np.arange(first, total, self.every)
        inside = (np.arange(self.frames) - self.frames // 2) * self.stride
        return np.clip(middles[:, None] + inside, 0, total - 1)


@dataclass(frozen=True)
class KeyframeClip:
    """Select the clip around the frame that is visible at `time` seconds, such as AVA's key frames.

    The reader converts the time to a frame (see `data/video/timeline.py`). Frames before the start
    or after the end of the video are replaced by the first or the last frame.

    Attributes:
      frames: frames in the clip.
      stride: distance between neighboring frames, in frames of the video.
      train: shift each frame by a random number from -h to h - 1, where h is stride / 2 rounded up.
      late: number of frames by which the clip is shifted to later frames. The published models were
        trained with a shift of one frame on folders of frames that count from 1, because
        SampleAVAFrames adds the number of the first frame twice.

    Raises:
      UserError: the sample has no `time`.
      VideoError: `time` is more than one second outside the video. With `fps` in the sample, it is
        more than one unit of `time` outside.
    """

    frames: int
    stride: int = 2
    train: bool = False
    late: int = 0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        reader = sample["reader"]
        if "time" not in sample:
            raise UserError(
                "this model classifies boxes at a time of a video: give a sample with time and"
                " proposals, or use jaxvid.inference.detect or `python -m jaxvid.tools.detect`"
            )
        time, end = float(sample["time"]), reader.duration
        if not -1 <= time <= end + 1:
            raise VideoError(
                reader.path,
                f"the key frame at {time:g} is not in the video, which ends at {end:g}; set start,"
                " the time at which videos begin, or fps, frames per unit of time",
            )
        return sample | {"frames": self.indices(reader.frames, reader.index_at(time), rng)}

    def indices(self, total: int, key: int, rng: np.random.Generator) -> np.ndarray:
        """Return indices (1, frames) around the frame `key` of a video of `total` frames."""
        inside = (np.arange(self.frames) - self.frames // 2) * self.stride
        indices = key + self.late + inside
        if self.train:
            half = (self.stride + 1) // 2
            indices = indices + rng.integers(2 * half, size=self.frames) - half
        return np.clip(indices, 0, total - 1)[None]


@dataclass(frozen=True)
class JoinClips:
    """Join every `clips` consecutive clips to one: (v clips, t) -> (v, clips t).

    2-D recognition models use the frames of all segments as one view.
    """

    clips: int

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        frames = sample["frames"]
        return sample | {"frames": frames.reshape(-1, self.clips * frames.shape[1])}


@dataclass(frozen=True)
class ClipsOfParts:
    """Select one clip from each of `parts` equal parts of the video, joined to one: (1, parts t).

    The clips are those of `SampleClips`. The last frame replaces frames after the end of the video.

    Attributes:
      frames: frames in each of the clips.
      stride: distance between neighboring frames of a clip, in frames of the video.
      parts: number of parts.
      train: whether to select clips at random.
    """

    frames: int
    stride: int
    parts: int
    train: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        select = SampleClips(self.frames, self.stride, self.parts, self.train, "last")
        return JoinClips(self.parts)(select(sample, rng), rng)


@dataclass(frozen=True)
class Reorder:
    """Change the order of the frames of each clip, to test whether a model uses motion.

    Attributes:
      order: "forward" changes nothing, "reverse" reverses the order, "shuffle" draws a random
        order, and "freeze" repeats the middle frame.
    """

    order: str = "forward"

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        frames = sample["frames"]
        if self.order == "reverse":
            frames = frames[:, ::-1]
        elif self.order == "shuffle":
            frames = rng.permuted(frames, axis=1)
        elif self.order == "freeze":
            frames = np.repeat(frames[:, [frames.shape[1] // 2]], frames.shape[1], 1)
        elif self.order != "forward":
            raise ValueError(f'order is forward, reverse, shuffle or freeze, not "{self.order}"')
        return sample | {"frames": frames}
