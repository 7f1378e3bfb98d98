"""Indexes of video files, kept from one opening to the next.

    $JAXVID_CACHE/indexes/AB/CDEF...    one small file for a video; see `files.cache_root`
    DATA/.manifest.indexes/AB/CDEF...   copies beside a manifest, made by `tools.scan`

An index is made when a video is opened for the first time, by training or by `tools.scan`. It
counts as long as the size of the file, the time when it was written and its first and last bytes
are those that they were; else it is made again. The folder can be removed at any time. Videos whose
packets do not lie in the file as they are decoded (MPEG-TS, AVI with B-frames) have none.

The cache has a limit, $JAXVID_INDEX_GB or 4 GB. The indexes that were not used for the longest time
are removed first. Its 256 folders are trimmed one by one, each to its share. So no process needs to
know the size of the whole cache, and several may remove or replace the same file at once.
"""

import base64
import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

from jaxvid import files
from jaxvid.data.video.containers import RawFile
from jaxvid.data.video.index import Index, Picture, times_of
from jaxvid.data.video.packets import Layout
from jaxvid.errors import UserError

logger = logging.getLogger(__name__)

# Other versions of FFmpeg may give packets other times, and other versions of this file are another
# format.
VERSION = [2, av.__version__]
ENDS = 4096  # bytes at either end of a file that are compared
FOLDERS = 256
TRIM_EVERY = 32  # writes between two checks of the size of a folder
DAY = 86400.0  # seconds; the time of the last use is noted as precisely as this


@dataclass(frozen=True)
class Known:
    """Facts about a video that opening it finds.

    Attributes:
      identity: see `identity`.
      index: of its frames.
      ticks: int64 (t,), the timestamps of the frames.
      tick: seconds that one lasts.
      picture: size and orientation of the first frame.
      layout: places of its packets.
    """

    identity: list[int]
    index: Index
    ticks: np.ndarray
    tick: float
    picture: Picture
    layout: Layout


def load(path: str, beside: str = "") -> tuple[RawFile, Known] | None:
    """Open a video whose index is kept; None where there is none of the file as it is now.

    Args:
      path: the video.
      beside: a folder of indexes beside a manifest; "" is none.
    """
    try:
        entry = _entry(_folder(), os.path.abspath(path))
        if found := _open_known(path, entry):
            _note_use(entry)
            return found
    except UserError:  # no cache folder, of which `keep` warns
        pass
    return _open_known(path, _beside(path, beside)) if beside else None


def keep(path: str, known: Known) -> None:
    """Keep what opening a video found out. Where that cannot be written, say so once."""
    try:
        entry = Path(_entry(_folder(), os.path.abspath(path)))
        if not limit():
            return
        content = _pack(path, known)
        _write(entry, content)
        if zlib.crc32(content) % TRIM_EVERY == 0:
            trim(entry.parent)
    except OSError as error:
        _warn(files.explain(error, files.cache_root() / "indexes"))
    except UserError as error:
        _warn(str(error))


def copy_beside(path: str, beside: str) -> bool:
    """Copy the index of a video into a folder beside a manifest; return whether it has one.

    Raises:
      OSError: the folder cannot be written to.
    """
    with contextlib.suppress(UserError):  # no cache folder
        entry, target = _entry(_folder(), os.path.abspath(path)), _beside(path, beside)
        for kept in (entry, target):
            if found := _open_known(path, kept):
                found[0].close()
                if kept == entry:
                    _write(Path(target), Path(entry).read_bytes())
                return True
    return False


def is_beside(path: str, beside: str) -> bool:
    """Return whether a folder beside a manifest has an index of a video, if this did not change."""
    return bool(_read(_beside(path, beside))[0])


def prune(beside: Path, paths: Iterable[str | os.PathLike]) -> None:
    """Remove the indexes of other videos than `paths` from a folder beside a manifest."""
    wanted = {_beside(os.fspath(path), os.fspath(beside)) for path in paths}
    for entry in beside.glob("??/*"):
        if str(entry) not in wanted:
            entry.unlink(missing_ok=True)


def trim(folder: Path) -> None:
    """Remove the indexes that were not used for the longest time, until one folder is small."""
    share = limit() / FOLDERS
    with contextlib.suppress(FileNotFoundError):
        entries = sorted(_usage(folder))
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries if total > share else ():
            Path(path).unlink(missing_ok=True)
            total -= size
            if total <= 0.9 * share:
                break


def limit() -> float:
    """Return the limit of the cache in bytes: $JAXVID_INDEX_GB, else 4 GB.

    Raises:
      UserError: this is not a number.
    """
    text = os.environ.get("JAXVID_INDEX_GB", "4")
    with contextlib.suppress(ValueError):
        if not math.isnan(number := float(text)):
            return max(number, 0.0) * 1e9
    raise UserError(f'JAXVID_INDEX_GB="{text}" is not a number of gigabytes')


def bytes_on_disk(most: int = 16) -> float:
    """Return the size of the cache. More than `most` folders are extrapolated."""
    folders = sorted(folder for folder in Path(_folder()).glob("??"))
    looked = folders[:most]
    total = sum(size for folder in looked for _, size, _ in _usage(folder))
    return total * len(folders) / max(len(looked), 1)


def _usage(folder: Path) -> Iterator[tuple[float, int, str]]:
    """The time of the last use, the bytes on the disk and the path of each index in a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # another process has removed it
                about = entry.stat()
                yield about.st_mtime, about.st_blocks * 512, entry.path


def _note_use(entry: str) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written to
        if time.time() - os.stat(entry).st_mtime > DAY:
            os.utime(entry)


def _open_known(path: str, entry: str) -> tuple[RawFile, Known] | None:
    about, packed = _read(entry)
    if not about:
        return None
    try:
        file = RawFile(path)
    except OSError:
        return None
    try:
        if _is_same(about["identity"], identity(file.fileno())):
            return file, _unpack(about, packed)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    file.close()
    return None


def _read(entry: str) -> tuple[dict, bytes]:
    """The content of an index; ({}, b"") if there is none of this version, or it is damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, zlib.error):
        with RawFile(entry) as file:
            head, packed = zlib.decompress(file.readall()).split(b"\n", 1)
        about = json.loads(head)
        if about["version"] == VERSION:
            return about, packed
    return {}, b""


def _is_same(kept: list[int], now: list[int]) -> bool:
    """Return whether a file is the one whose index was kept.

    Archives and some file systems store times in whole seconds.
    """
    rounded = now[1] % 10**9 == 0 and now[1] == kept[1] // 10**9 * 10**9
    return kept == now or (rounded and kept[::2] == now[::2])


def _write(entry: Path, content: bytes) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(entry) as part:
        part.write_bytes(content)


def _pack(path: str, known: Known) -> bytes:
    index, layout = known.index, known.layout
    about = {
        "version": VERSION,
        "identity": known.identity,
        "path": os.path.abspath(path),
        "fps": index.fps,
        "first": index.first.as_integer_ratio(),
        "last": index.last,
        "tick": known.tick,
        "picture": dataclasses.asdict(known.picture),
        "codec": layout.codec,
        "extradata": base64.b64encode(layout.extradata).decode(),
        "attributes": layout.attributes,
        "lengths": [len(index.packet), len(layout.at)],
    }
    arrays = (index.start, index.packet, known.ticks, layout.at, layout.size)
    steps = np.concatenate([np.diff(array, prepend=0) for array in arrays])
    about["type"] = "<i8" if np.abs(steps).max() >= 1 << 31 else "<i4"
    content = json.dumps(about).encode() + b"\n" + steps.astype(about["type"]).tobytes()
    return zlib.compress(content, 1)


def _unpack(about: dict, packed: bytes) -> Known:
    frames, packets = about["lengths"]
    steps = np.frombuffer(packed, about["type"])
    start, packet, ticks = steps[: 3 * frames].reshape(3, frames).cumsum(1, np.int64)
    at, size = steps[3 * frames :].reshape(2, packets).cumsum(1, np.int64)
    times = times_of(ticks, about["tick"])
    first, last = Fraction(*about["first"]), about["last"]
    index = Index(False, start, packet, times, about["fps"], first, last, range(packets))
    extradata = base64.b64decode(about["extradata"])
    layout = Layout(about["codec"], extradata, about["attributes"], at, size)
    picture = Picture(**about["picture"])
    return Known(about["identity"], index, ticks, about["tick"], picture, layout)


def identity(file: int) -> list[int]:
    """Return what distinguishes an open file from others, and from its own later content."""
    about = os.fstat(file)
    ends = os.pread(file, ENDS, 0) + os.pread(file, ENDS, max(about.st_size - ENDS, 0))
    return [about.st_size, about.st_mtime_ns, zlib.crc32(ends)]


def _folder() -> str:
    return os.path.join(files.cache_root(), "indexes")


def _beside(path: str, folder: str) -> str:
    """The place of an index beside a manifest, by a path that is the same after both are moved."""
    base = os.path.dirname(os.path.abspath(folder))
    return _entry(folder, os.path.relpath(os.path.abspath(path), base))


def _entry(folder: str, key: str) -> str:
    name = hashlib.sha256(os.fsencode(key)).hexdigest()
    return os.path.join(folder, name[:2], name[2:40])


@cache
def _warn(problem: str) -> None:
    logger.warning(f"{problem}. Until then, each opening of a video takes milliseconds longer")
