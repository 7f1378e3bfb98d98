"""Cutting clips out of long videos, where a data set is published as times."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxvid.data.decode import VideoError, VideoReader
from jaxvid.data.encode import write_video
from jaxvid.tools.jobs import SPAWN

CHUNK = 64  # frames in memory at a time
EPSILON = 1e-6  # seconds, of rounding


@dataclass(frozen=True)
class Cut:
    """A clip to be: the file, and where it starts and before which moment it ends, in seconds."""

    path: Path
    start: float
    end: float


def cut_all(cuts: Mapping[Path, Sequence[Cut]]) -> None:
    """Cuts the clips that are not there yet; says what could not be cut."""
    there = {video: todo for video, todo in cuts.items() if video.is_file()}
    print(f"{len(there):,} of {len(cuts):,} videos are there")
    with ProcessPoolExecutor(mp_context=SPAWN) as pool:
        for number, problems in enumerate(pool.map(cut, there, there.values()), 1):
            for problem in problems:
                print(f"  {problem}")
            print(f"{number} of {len(there)} videos cut")


def cut(video: Path, cuts: Sequence[Cut]) -> list[str]:
    """Cuts one video, re-encoded with every frame kept and without sound; returns problems."""
    problems = []
    todo = [cut for cut in cuts if not cut.path.exists()]
    if not todo:
        return []
    try:
        with VideoReader(video) as reader:
            for one in sorted(todo, key=lambda cut: cut.start):
                first, stop = np.searchsorted(
                    reader.times, np.array([one.start, one.end]) - EPSILON
                )
                try:
                    write_video(one.path, _frames(reader, first, stop), reader.fps, crf=18)
                except VideoError as error:
                    problems.append(str(error))
    except VideoError as error:
        problems.append(str(error))
    return problems


def _frames(reader: VideoReader, first: int, stop: int) -> Iterator[np.ndarray]:
    for start in range(first, stop, CHUNK):
        yield from reader.read(range(start, min(start + CHUNK, stop)))
