"""Indexes of video files, kept from one opening to the next.

    $JAXVID_CACHE/indexes/AB/CDEF...   one small file for a video; see `files.cache_root`

An index is made when a video is opened for the first time, by training or by `tools.scan`. It
counts as long as the size of the file, the time when it was written and its first and last bytes
are those that they were; else it is made again. The folder can be removed at any time. Videos whose
packets do not lie in the file as they are decoded (MPEG-TS, AVI with B-frames) have none.
"""

import base64
import dataclasses
import hashlib
import io
import json
import logging
import os
import zlib
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

from jaxvid import files
from jaxvid.data.video.index import Index, Picture, Places, times_of
from jaxvid.data.video.packets import Layout
from jaxvid.errors import UserError

logger = logging.getLogger(__name__)

# Other versions of FFmpeg may give packets other times, and other versions of this file are another
# format.
VERSION = [2, av.__version__]
ENDS = 4096  # bytes at either end of a file that are compared


@dataclass(frozen=True)
class Known:
    """Facts about a video that opening it finds, and the open file."""

    file: io.FileIO
    index: Index
    picture: Picture
    layout: Layout


def load(path: str) -> Known | None:
    """Open a video whose index is kept; None where there is none of the file as it is now."""
    try:
        with open(_entry(path), "rb", buffering=0) as entry:
            head, packed = zlib.decompress(entry.read()).split(b"\n", 1)
        about = json.loads(head)
        if about["version"] != VERSION:
            return None
        file = open(path, "rb", buffering=0)  # noqa: SIM115
    except (OSError, ValueError, KeyError, TypeError, zlib.error):  # none, or a damaged one
        return None
    except UserError:  # no cache folder, of which `keep` warns
        return None
    try:
        if about["identity"] == identity(file.fileno()):
            return Known(file, *_unpack(about, packed))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    file.close()
    return None


def keep(
    path: str,
    identity: list[int],
    index: Index,
    places: Places,
    picture: Picture,
    layout: Layout,
) -> None:
    """Keep what opening a video found out. Where that cannot be written, say so once."""
    try:
        about = {
            "version": VERSION,
            "identity": identity,
            "path": os.path.abspath(path),
            "fps": index.fps,
            "first": index.first.as_integer_ratio(),
            "last": index.last,
            "tick": float(places.tick),
            "picture": dataclasses.asdict(picture),
            "codec": layout.codec,
            "extradata": base64.b64encode(layout.extradata).decode(),
            "attributes": layout.attributes,
            "lengths": [len(index.packet), len(layout.at)],
        }
        arrays = (index.start, index.packet, places.ticks, places.at, places.size)
        steps = np.concatenate([np.diff(array, prepend=0) for array in arrays])
        about["type"] = "<i8" if np.abs(steps).max() >= 1 << 31 else "<i4"
        content = json.dumps(about).encode() + b"\n" + steps.astype(about["type"]).tobytes()
        entry = Path(_entry(path))
        entry.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(entry) as part:
            part.write_bytes(zlib.compress(content, 1))
    except OSError as error:
        _warn(files.explain(error, files.cache_root() / "indexes"))
    except UserError as error:
        _warn(str(error))


def _unpack(about: dict, packed: bytes) -> tuple[Index, Picture, Layout]:
    frames, packets = about["lengths"]
    steps = np.frombuffer(packed, about["type"])
    start, packet, ticks = steps[: 3 * frames].reshape(3, frames).cumsum(1, np.int64)
    at, size = steps[3 * frames :].reshape(2, packets).cumsum(1, np.int64)
    times = times_of(ticks, about["tick"])
    first, last = Fraction(*about["first"]), about["last"]
    index = Index(False, start, packet, times, about["fps"], first, last, range(packets))
    extradata = base64.b64decode(about["extradata"])
    layout = Layout(about["codec"], extradata, about["attributes"], at, size)
    return index, Picture(**about["picture"]), layout


def identity(file: int) -> list[int]:
    """Return what distinguishes an open file from others, and from its own later content."""
    about = os.fstat(file)
    ends = os.pread(file, ENDS, 0) + os.pread(file, ENDS, max(about.st_size - ENDS, 0))
    return [about.st_size, about.st_mtime_ns, zlib.crc32(ends)]


def _entry(path: str) -> str:
    name = hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()
    return os.path.join(files.cache_root(), "indexes", name[:2], name[2:40])


@cache
def _warn(problem: str) -> None:
    logger.warning(f"{problem}. Until then, each opening of a video takes milliseconds longer")
