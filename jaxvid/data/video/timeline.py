"""Base class of all readers: frames by number, and the numbers of frames by time.

Seconds become frame numbers here and nowhere else. Time counts from the first frame. A video file
has a presentation timestamp for each frame; folders of frames, images and arrays have none, so
frame i lies at i / fps, with the fps that was given: that of the annotations (AVA's is 30), or 1
where annotations count frames instead of seconds.

Shape letters: n frames asked for, h height, w width, c channels.
"""

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Self

import numpy as np

from jaxvid.data.video.containers import VideoError
from jaxvid.errors import UserError

# Seconds by which a frame may be asked for before its timestamp. Matroska rounds timestamps to
# milliseconds, so the difference of two is off by up to one; so are rates that come from them.
ROUNDING = 2e-3
RUN = 32  # frames that `read_on` holds in memory


def is_constant(times: np.ndarray, fps: float) -> bool:
    """True if frame i lies at i / fps, as closely as files can tell."""
    return bool((np.abs(times - np.arange(len(times)) / fps) <= ROUNDING).all())


class Reader(ABC):
    """Frames by number, from a file, a folder or memory.

    It has a length and takes what an array takes for its first axis: reader[7] is (h w c),
    reader[-8:] and reader[[0, 4, 4]] are (n h w c). `with` frees what it holds open.

    Attributes:
      path: what messages call it.
      frames: how many there are.
      fps: frames per second, on average; 0 where unknown.
    """

    path: str
    frames: int
    fps: float

    @abstractmethod
    def read(self, indices: Iterable[int] | np.ndarray) -> np.ndarray:
        """The frames `indices` (n,), in any order and with repeats, as uint8 (n h w c)."""

    def read_on(self, indices: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
        """The same one by one, read so that few of them are in memory."""
        for start in range(0, len(indices), RUN):
            yield from self.read(indices[start : start + RUN])

    def close(self) -> None:  # noqa: B027 (readers in memory hold nothing open)
        """Frees what is held open; a second call does nothing."""

    @cached_property
    def times(self) -> np.ndarray:
        """Seconds from the first frame at which each frame appears, float64 (frames,).

        Raises:
          UserError: frames without timestamps whose rate nobody gave.
        """
        if not self.fps:
            raise UserError(f"{self.path}: frames without a rate; set fps, such as 30 for AVA's")
        return np.arange(self.frames) / self.fps

    @cached_property
    def duration(self) -> float:
        """Seconds from the appearance of the first frame to the end of the last."""
        return float(self.times[-1]) + 1 / self.fps

    @property
    def edges(self) -> np.ndarray:
        """`times` and the end of the last frame, float64 (frames + 1,), as `write_video` has it."""
        return np.append(self.times, self.duration)

    def index_at(self, seconds: float) -> int:
        """The frame on screen at `seconds`; the first before the start, the last after the end."""
        return int(self._on_screen(seconds))

    def at_rate(self, fps: float) -> np.ndarray:
        """The frames on screen at 0, 1 / fps, 2 / fps ... seconds, int64 (n,).

        At the own rate of a video whose rate is constant these are all frames. Of any other video
        they are evenly spaced in time: a frame that stays on screen is repeated.
        """
        return self._on_screen(np.arange(max(1, round(self.duration * fps))) / fps)

    def within(self, start: float, end: float) -> range:
        """The frames that appear in [start, end), in seconds."""
        return range(*np.searchsorted(self.times, np.array([start, end]) - self._rounding).tolist())

    def count_at(self, fps: float) -> None:
        """Place frame i at i / fps, as annotations state; see the module.

        Raises:
          UserError: this is a video of another rate, whose timestamps say otherwise.
        """
        self.fps = fps
        for known in ("times", "duration"):
            vars(self).pop(known, None)

    def _on_screen(self, seconds: float | np.ndarray) -> np.ndarray:
        after = np.searchsorted(self.times, np.asarray(seconds) + self._rounding, side="right")
        return np.maximum(after - 1, 0)

    @property
    def _rounding(self) -> float:
        return min(ROUNDING, 0.25 / self.fps) if self.fps else ROUNDING

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(self.frames))

    def __getitem__(self, key: int | slice | Sequence[int] | np.ndarray) -> np.ndarray:
        try:
            wanted = np.arange(self.frames)[list(key) if isinstance(key, tuple) else key]
        except IndexError as error:
            raise IndexError(f"{self.path}: {error}") from None
        video = self.read(np.ravel(wanted))
        return video.reshape(*wanted.shape, *video.shape[1:])

    def _checked(self, indices: Iterable[int] | np.ndarray) -> np.ndarray:
        """int64 (n,), all of them in [0, frames)."""
        indices = [operator.index(index) for index in indices]
        for index in indices:
            if not 0 <= index < self.frames:
                raise VideoError(self.path, f"there is no frame {index}, it has {self.frames}")
        return np.array(indices, np.int64)
