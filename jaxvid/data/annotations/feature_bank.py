"""Feature banks: features of the people in all key frames of a split (Wu et al., 2019).

A bank is a folder with two files, which `jaxvid.tools.make_bank` writes. `features.npy` has a row
for each box, float16 (k, c). `index.npz` has the names of the videos, `videos` (v,). For each key
frame it has the number of its video, `video` (n,), its time in the units of the annotations, `time`
(n,), and the end of its rows, `ends` (n,). Its `about` has the settings as JSON.

Shapes: k boxes of all key frames, c channels, n key frames, v videos, m boxes of one video.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvid.errors import UserError
from jaxvid.files import explained, replacing

FEATURES, INDEX = "features.npy", "index.npz"
REMAKE = "make the bank again with `python -m jaxvid.tools.make_bank`"


class Entries(NamedTuple):
    """The boxes of one video in a bank.

    Attributes:
      features: The features of all boxes of the bank, (k, c).
      rows: int (m,), the rows of this video.
      times: float (m,), the time of each row after the key frame of a sample.
    """

    features: np.ndarray
    rows: np.ndarray
    times: np.ndarray


@dataclass(frozen=True)
class Bank:
    """A feature bank. Its features stay on the disk until they are used.

    Attributes:
      folder: The folder of its files.
      made: How it was made: `backbone`, the weights as `jaxvid.load` accepts them; `weights`, a
        hash that identifies them; `channels`; and `least`, the smallest score of a box.
      rows: {video: (rows, times)}, both (m,).
    """

    folder: Path
    made: Mapping[str, Any]
    rows: Mapping[str, tuple[np.ndarray, np.ndarray]]

    def around(self, video: str, time: float) -> Entries:
        """Return the boxes of a video, with their times after `time`."""
        rows, times = self.rows[video]
        path = self.folder / FEATURES
        return Entries(_features(path, path.stat().st_mtime_ns), rows, times - time)


@cache
def _features(path: Path, modified: int) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def write(
    folder: Path,
    rows: Iterable[np.ndarray],
    videos: tuple[str, ...],
    video: np.ndarray,
    time: np.ndarray,
    ends: np.ndarray,
    made: Mapping[str, Any],
    files: Iterable[Path],
):
    """Write a bank. Its index is written last, so that a bank without its index is incomplete.

    Args:
      folder: The folder of the bank, in which former files are replaced.
      rows: The features of each key frame, (boxes, c), in the order of `video`.
      videos, video, time, ends: As in `index.npz`.
      made: As in `Bank`.
      files: The files of the annotations and the proposals.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / INDEX).unlink(missing_ok=True)
        size = int(ends[-1]), made["channels"]
        with replacing(folder / FEATURES) as part:
            features = np.lib.format.open_memmap(part, "w+", np.float16, size)
            start = 0
            for own in rows:
                features[start : start + len(own)] = own
                start += len(own)
            features.flush()
            del features
        about = json.dumps({**made, "files": _hashes(files)})
        with replacing(folder / INDEX) as part:
            names = np.array(videos)
            np.savez(part, about=about, videos=names, video=video, time=time, ends=ends)


def read(folder: Path, videos: Iterable[str], files: Iterable[Path]) -> Bank:
    """Read the index of a bank.

    Args:
      folder: The folder of the bank.
      videos: Names of the videos that must be in it.
      files: The files of the annotations and the proposals, which may not have changed.

    Raises:
      UserError: There is no such bank, it is incomplete or stale, or it lacks a video.
    """
    if not (folder / INDEX).is_file() or not (folder / FEATURES).is_file():
        raise UserError(
            f"{folder}: no feature bank there; make it with `python -m jaxvid.tools.make_bank"
            " --config CONFIG --checkpoint DETECTOR`"
        )
    try:
        with np.load(folder / INDEX, allow_pickle=False) as found:
            names, video, time, ends = (found[k] for k in ("videos", "video", "time", "ends"))
            made = json.loads(str(found["about"]))
            hashes = made.pop("files")
        shape = np.load(folder / FEATURES, mmap_mode="r", allow_pickle=False).shape
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{folder}: not a feature bank ({error}); {REMAKE}") from None
    if shape != (ends[-1], made["channels"]):
        raise UserError(f"{folder}: {FEATURES} has {shape}, not {ends[-1]:,} boxes; {REMAKE}")
    for name, digest in _hashes(files).items():
        if hashes.get(name) != digest:
            raise UserError(f"{folder}: a stale feature bank: {name} has changed since; {REMAKE}")
    rows = dict(_by_video(names.tolist(), video, time, ends))
    if lacking := [name for name in videos if name not in rows]:
        raise UserError(f'{folder}: no features of the video "{lacking[0]}"; {REMAKE}')
    return Bank(folder, made, rows)


def _by_video(
    names: list[str], video: np.ndarray, time: np.ndarray, ends: np.ndarray
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    counts = np.diff(ends, prepend=0)
    owner, times = np.repeat(video, counts), np.repeat(time, counts)
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(names) + 1))
    for i, name in enumerate(names):
        rows = order[starts[i] : starts[i + 1]]
        yield name, (rows, times[rows])


def _hashes(files: Iterable[Path]) -> dict[str, str]:
    """Return the start of the hash of each file, by its name."""

    def digest(path: Path) -> str:
        with explained(path), path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]

    return {path.name: digest(path) for path in files}
