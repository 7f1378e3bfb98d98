"""Which frames of a video make the clips. Samplers write `frames` (v, t), indices to decode.

The number of frames comes from the open reader in `sample["reader"]`. Frames count from 0.
"""

from dataclasses import dataclass

import numpy as np

from jaxvid.data.sample import Sample
from jaxvid.data.video.decode import VideoError
from jaxvid.errors import UserError


@dataclass(frozen=True)
class SampleClips:
    """Clips of frames at a fixed stride, as MMAction2's SampleFrames takes them.

    In training the video is cut into as many equal parts as there are clips, and each clip starts
    at a random frame of its part. In evaluation clips are spread evenly from end to end; clips of
    a single frame sit in the middle of their part (Wang et al., TSN, 2016).

    Attributes:
      frames: frames in a clip.
      stride: source frames from one frame of a clip to the next.
      clips: clips a video.
      train: random clips.
      beyond: what stands for frames after the end, "loop" (from the start) or "last".
      target_fps: `stride` counts frames at this rate, not at the file's own; 0 is off.
      jitter: each frame moves by up to stride - 1.
      twice: in evaluation, as many clips again: see MMAction2's twice_sample.
      keep_tail: parts end at the last frame, not at the last whole interval.
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
        even = reader.at_rate(reader.fps)  # evenly spaced in time, also where the rate varies
        return sample | {"frames": even[self.indices(len(even), reader.fps, rng)]}

    def indices(self, total: int, fps: float, rng: np.random.Generator) -> np.ndarray:
        """(clips, frames) indices into a video of `total` frames at a constant `fps`."""
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
        # The last frame of a clip that the video still has stands for those after it.
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
    """Clips whose starts lie `window / clips` frames apart, within `window` frames of the video.

    MMAction2's DenseSampleFrames: with clips of one frame, the dense sampling of TSM (Lin et al.
    2019). In training the window is drawn (the last place where it fits never is, as published);
    evaluation uses `windows` windows that are evenly spaced. A video shorter than the
    window goes round.

    Attributes:
      frames: frames in a clip.
      stride: source frames from one frame of a clip to the next.
      clips: clips a window; (clips, t) in training, (windows clips, t) in evaluation.
      train: one random window.
      window: its length in frames.
      windows: how many in evaluation.
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
        """Indices into a video of `total` frames."""
        room = max(total - self.window, 0)
        if self.train:
            windows = np.array([rng.integers(room) if room else 0])
        else:
            windows = np.linspace(0, room, self.windows).astype(np.int64)
        starts = windows[:, None] + np.arange(self.clips) * (self.window // self.clips)
        return (starts.reshape(-1, 1) + np.arange(self.frames) * self.stride) % total


@dataclass(frozen=True)
class UniformFrames:
    """One clip over the whole video: a frame from each of `frames` equal parts, sharing borders.

    In training a random frame of the part. In evaluation clip k of n takes the frame at (k + 1) /
    (n + 1) of each part.

    Attributes:
      frames: parts.
      clips: in evaluation.
      train: one random clip.
      exact: parts are as long as total / frames, as in MMAction2's UniformSample; otherwise as
        the whole frames between their borders, as in SlowFast's and Video Swin's
        Something-Something recipes. In training there is no difference.
    """

    frames: int
    clips: int = 1
    train: bool = False
    exact: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return sample | {"frames": self.indices(sample["reader"].frames, rng)}

    def indices(self, total: int, rng: np.random.Generator) -> np.ndarray:
        """(clips, frames) indices into a video of `total` frames, (1, frames) in training."""
        exact = np.arange(self.frames + 1) * (total - 1) / self.frames
        borders = np.round(exact).astype(np.int64)
        if self.train:
            return rng.integers(borders[:-1], borders[1:] + 1)[None]
        lengths = (total - 1) / self.frames if self.exact else np.diff(borders)
        steps = lengths / (self.clips + 1) * np.arange(1, self.clips + 1)[:, None]
        return borders[:-1] + steps.astype(np.int64)


@dataclass(frozen=True)
class ClipsEvery:
    """A clip around every `every`-th frame: as many as an untrimmed video has room for.

    Views differ in number from video to video, so a batch holds one video. Frames beyond an end
    are the frame at that end.

    Attributes:
      frames: frames in a clip.
      stride: source frames from one frame of a clip to the next.
      every: source frames from the middle of a clip to that of the next.
    """

    frames: int = 1
    stride: int = 1
    every: int = 16

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return sample | {"frames": self.indices(sample["reader"].frames)}

    def indices(self, total: int) -> np.ndarray:
        """(clips, frames) indices into a video of `total` frames."""
        first = self.every // 2 if self.every // 2 < total else total // 2
        middles = np.arange(first, total, self.every)
        inside = (np.arange(self.frames) - self.frames // 2) * self.stride
        return np.clip(middles[:, None] + inside, 0, total - 1)


@dataclass(frozen=True)
class KeyframeClip:
    """The clip around the frame on screen at `time` seconds, such as AVA's key frame.

    Which frame that is, the reader knows: see `data/video/timeline.py`. Frames beyond an end of the
    video are the frame at that end; but the key frame itself is in the video, or at most one second
    (with `fps` in the sample, one unit of `time`) beyond.

    Attributes:
      frames: frames in the clip.
      stride: source frames from one to the next.
      train: each frame moves by -stride / 2 to stride / 2 - 1, halves rounded up.
      late: frames by which the clip lies later. The published models saw frame folders, which
        count from 1, one frame late: SampleAVAFrames adds the first number twice.
    """

    frames: int
    stride: int = 2
    train: bool = False
    late: int = 0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        reader = sample["reader"]
        if "time" not in sample:
            raise UserError(
                "this model looks at boxes at a moment of a video: give a sample with time and"
                " proposals, or use jaxvid.inference.detect or `python -m jaxvid.tools.detect`"
            )
        time, end = float(sample["time"]), reader.duration
        if not -1 <= time <= end + 1:
            raise VideoError(
                reader.path,
                f"the key frame at {time:g} is not in it: it ends at {end:g}; set start, the time"
                " at which videos begin, or fps, frames per unit of time",
            )
        return sample | {"frames": self.indices(reader.frames, reader.index_at(time), rng)}

    def indices(self, total: int, key: int, rng: np.random.Generator) -> np.ndarray:
        """(1, frames) indices around the frame `key` of a video of `total` frames."""
        inside = (np.arange(self.frames) - self.frames // 2) * self.stride
        indices = key + self.late + inside
        if self.train:
            half = (self.stride + 1) // 2
            indices = indices + rng.integers(2 * half, size=self.frames) - half
        return np.clip(indices, 0, total - 1)[None]


@dataclass(frozen=True)
class JoinClips:
    """`clips` clips after one another make one: (v clips, t) -> (v, clips t).

    2-D recognizers see the frames of all segments as one view.
    """

    clips: int

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        frames = sample["frames"]
        return sample | {"frames": frames.reshape(-1, self.clips * frames.shape[1])}


@dataclass(frozen=True)
class Reorder:
    """Another order of the frames of each clip, to see whether a model looks at time.

    Attributes:
      order: "forward" changes nothing, "reverse" plays backwards, "shuffle" draws a permutation,
        "freeze" repeats the middle frame.
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
