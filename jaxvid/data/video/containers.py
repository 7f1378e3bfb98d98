"""Files of videos: opening them with FFmpeg, and its errors in plain words."""

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

import av
from av.error import FFmpegError, InvalidDataError

from jaxvid.errors import UserError


class VideoError(UserError):
    """A video that cannot be read or written: 'PATH: reason'."""

    def __init__(self, path: str, reason: str):
        super().__init__(path, reason)  # both, so that it can be pickled by a data worker
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@contextlib.contextmanager
def plain_words(path: str) -> Iterator[None]:
    """Turns whatever FFmpeg and the system raise into a VideoError."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError:
        raise VideoError(path, "no such file") from None
    except (FFmpegError, OSError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(path, f"FFmpeg says: {reason}") from error


class RawFile(io.FileIO):
    """A file to read, without a buffer. It closes itself without a warning when it is dropped."""

    def __del__(self):
        self.close()


# Up to version 18, PyAV refuses files whose tags are not UTF-8 unless it is given this argument.
# Version 19 has no such argument and reads them.
_OLD = int(av.__version__.split(".")[0]) < 19
_TOLERANT: dict[str, Any] = {"metadata_errors": "ignore"} if _OLD else {}


def open_media(file: str | io.BytesIO) -> Any:
    """An open PyAV container of a file to read; tags (title, artist) may be in any encoding."""
    return av.open(file, **_TOLERANT)


def open_container(source: str | os.PathLike | bytes, path: str, kind: str = "video") -> Any:
    """An open container, or a VideoError in plain words where FFmpeg says 'invalid data'.

    Args:
      source: a path, or the bytes of a file.
      path: the path, for messages.
      kind: what the file should be, for messages.
    """
    if not isinstance(source, bytes) and os.path.isdir(source):
        raise VideoError(path, "is a directory")
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        head = file.read(12)
    if not head:
        raise VideoError(path, "zero-byte file")
    try:
        # "file:" keeps FFmpeg from taking what stands before a colon for a protocol.
        file = io.BytesIO(source) if isinstance(source, bytes) else f"file:{path}"
        container = open_media(file)
        if container.format.name != "tty":  # as which any text passes: an animation in ANSI codes
            return container
        container.close()
        raise VideoError(path, f"not a {kind} file but text")
    except (InvalidDataError, EOFError):
        if head[4:8] == b"ftyp":
            raise VideoError(path, "truncated: the list of frames (moov) is missing") from None
        raise VideoError(path, f"not a {kind} file, or its beginning is damaged") from None


def has_stream(path: str | os.PathLike, kind: str) -> bool:
    """Return whether a file has a stream of a kind, "video" or "audio"; False if it is damaged."""
    name = os.fspath(path)
    try:
        with plain_words(name), open_container(path, name) as container:
            return any(stream.type == kind for stream in container.streams)
    except VideoError:
        return False
