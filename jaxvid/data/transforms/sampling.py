"""Which frames of a video make the clips. Samplers write `frames` (v, t), indices to decode.

The number of frames comes from the open reader in `sample["reader"]`.
"""

from dataclasses import dataclass

import numpy as np

from jaxvid.data.sample import Sample


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
        return sample | {"frames": self.indices(reader.frames, reader.fps, rng)}

    def indices(self, total: int, fps: float, rng: np.random.Generator) -> np.ndarray:
        """(clips, frames) indices into a video of `total` frames at `fps`."""
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
class UniformFrames:
    """One clip over the whole video: a frame from each of `frames` equal parts.

    The Something-Something sampling of SlowFast and Video Swin: a random frame of the part in
    training, else its middle; parts share their borders.
    """

    frames: int
    train: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        total = sample["reader"].frames
        borders = np.round(np.arange(self.frames + 1) * (total - 1) / self.frames).astype(np.int64)
        first, last = borders[:-1], borders[1:]
        indices = rng.integers(first, last + 1) if self.train else (first + last) // 2
        return sample | {"frames": indices[None]}


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
