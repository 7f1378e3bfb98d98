"""Cuts clips out of long videos, for data sets that are published as times in videos."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxvid.data.video.containers import VideoError
from jaxvid.data.video.decode import VideoReader
from jaxvid.data.video.encode import write_video
from jaxvid.data.video.timeline import ROUNDING
from jaxvid.tools import jobs

LIMIT = 12 * 3600.0  # seconds to cut one video, which may be hours long


@dataclass(frozen=True)
class Cut:
    """A clip to cut out of a video.

    It contains the frames that appear from `start` on and before `end`, at their times. If the rate
    varies, a frame can stay on screen longer than the average frame. If such a frame is on screen
    at `start` or `end`, the clip contains it for a part of its time.

    Attributes:
      path: the file to write.
      start, end: times in the video in seconds.
    """

    path: Path
    start: float
    end: float


def cut_all(cuts: Mapping[Path, Sequence[Cut]]) -> None:
    """Cut the clips that do not exist yet, in worker processes, and print what cannot be cut.

    Args:
      cuts: the clips of each video. Videos that do not exist are counted.
    """
    found = [(video, own) for video, own in cuts.items() if video.is_file()]
    print(f"{len(found):,} of {len(cuts):,} videos are there")
    with contextlib.closing(jobs.run(_cut, found, what="cutting", timeout=LIMIT)) as done:
        for each in done:
            for problem in [f"{each.item[0]}: {each.error}"] if each.error else each.result:
                print(f"  {problem}")
    print(f"{len(found):,} videos cut")


def _cut(job: tuple[Path, Sequence[Cut]]) -> list[str]:
    return cut(*job)


def cut(video: Path, cuts: Sequence[Cut]) -> list[str]:
    """Cut the clips of one video that do not exist yet.

    The clips are encoded again, with every frame and without sound.

    Returns:
      What could not be cut, a line each.
    """
    problems = []
    todo = [cut for cut in cuts if not cut.path.exists()]
    if not todo:
        return []
    try:
        with VideoReader(video) as reader:
            for one in sorted(todo, key=lambda cut: cut.start):
                frames, times = shown(reader, one.start, one.end)
                try:
                    images = reader.read_on(frames)
                    write_video(one.path, images, reader.fps, times=times, crf=18)
                except VideoError as error:
                    problems.append(str(error))
    except VideoError as error:
        problems.append(str(error))
    return problems


def shown(reader: VideoReader, start: float, end: float) -> tuple[range, np.ndarray]:
    """Return the frames of a clip, see `Cut`.

    Returns:
      Their numbers in the video, and float64 (n + 1,), the times in the clip at which they appear
      and at which the last one ends.
    """
    start, end, most = max(start, 0), min(end, reader.duration), 1 / reader.fps + ROUNDING
    frames = reader.within(start, end)
    edges = reader.edges[frames.start : frames.stop + 1].copy()
    if min(edges[0], end) - start > most:
        frames = range(frames.start - 1, frames.stop)
        edges = np.insert(edges, 0, start)
    if edges[-1] - end > most:
        edges[-1] = end
    return frames, edges - edges[0]
