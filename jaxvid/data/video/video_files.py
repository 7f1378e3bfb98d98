"""Files of videos and of sounds: their endings, and which ones there are below a folder.

This is the one place that says what counts, for training and for all tools. Hidden files and
folders do not (.ipynb_checkpoints, ._clip.mp4), nor do those that systems make (__MACOSX,
Thumbs.db). Links to folders are followed.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jaxvid.errors import UserError

VIDEOS = (
    ".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".gif", ".wmv", ".flv",
    ".3gp", ".3g2", ".ts", ".mts", ".m2ts", ".m2t", ".vob", ".ogv", ".ogm", ".asf", ".f4v", ".m2v",
    ".mpe", ".mxf", ".dv", ".divx", ".rm", ".rmvb", ".qt", ".y4m", ".h264", ".hevc",
)  # fmt: skip
SOUNDS = (
    ".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aif", ".aiff",
    ".au", ".caf", ".mka", ".ac3", ".amr", ".w64",
)  # fmt: skip
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
ARRAYS = (".npy", ".npz")
# What lies beside videos and is expected to: lists, notes, subtitles.
NOTES = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".md", ".srt", ".vtt", ".nfo")
METADATA = {
    "__macosx",
    "__pycache__",
    "@eadir",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "thumbs.db",
    "desktop.ini",
}


def numpy_reason(error: Exception) -> str:
    """Why NumPy cannot read a file, in one line; its advice to unpickle the file is left out."""
    if isinstance(error, ValueError) and "pickle" in str(error):
        return "no array of numbers in NumPy's format"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def counts(name: str) -> bool:
    """Return whether a file or folder of this name is a user's: not hidden, not a system's."""
    return not name.startswith(".") and name.lower() not in METADATA


def has_ending(name: str, endings: tuple[str, ...] = VIDEOS) -> bool:
    """Return whether a name ends in one of `endings`, in capitals or not."""
    return os.path.splitext(name)[1].lower() in endings


def with_ending(name: str, suffix: str) -> str:
    """`name` with `suffix`, unless it has the ending of a video, a sound, an image or an array.

    A dot does not make an ending: clip_1.25_3.50 is a name without one.
    """
    return name if has_ending(name, VIDEOS + SOUNDS + IMAGES + ARRAYS) else name + suffix


def without_ending(name: str) -> str:
    """`name` without the ending of a video, a sound, an image or an array."""
    return os.path.splitext(name)[0] if with_ending(name, ".") == name else name


def missing(paths: Sequence[str | None]) -> list[int]:
    """Return the indices of the paths of files that do not exist. None stands for no file."""
    with ThreadPoolExecutor(16) as pool:  # hides the latency of network file systems
        exists = list(pool.map(lambda path: path is None or os.path.exists(path), paths))
    return [i for i, found in enumerate(exists) if not found]


def walk(root: str | os.PathLike) -> Iterator[Path]:
    """All files at any depth below a folder. A link back to a folder that it lies in is left out.

    Raises:
      UserError: a folder cannot be read, or a name is not in UTF-8.
    """
    return _walk(os.fspath(root), frozenset())


def _walk(folder: str, above: frozenset[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        with os.scandir(folder) as found:
            entries = sorted((e for e in found if counts(e.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from None
    for entry in entries:
        # DirEntry.is_dir raises an error for a link to itself.
        if os.path.isdir(entry) if entry.is_symlink() else entry.is_dir():
            yield from _walk(entry.path, above | {real})
        else:
            yield Path(readable(entry.path))


def readable(path: str) -> str:
    """`path`, which can be printed and written to lists. Raises UserError where it is not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise UserError(f"{shown}: this name is not in UTF-8; rename it") from None
    return path


def left_out(paths: Iterable[str | os.PathLike], endings: tuple[str, ...] = VIDEOS) -> str:
    """'3 files without the ending of a video: .xyz (2), .dat (1)'; '' where all have one.

    Files with an ending of NOTES are not mentioned.
    """
    each = (os.path.splitext(path)[1].lower() for path in paths)
    others = Counter(end or "no ending" for end in each if end not in endings + NOTES)
    if not others:
        return ""
    total = others.total()
    kinds = ", ".join(f"{end} ({count:,})" for end, count in others.most_common(8))
    kind = "a video or a sound" if set(SOUNDS) <= set(endings) else "a video"
    return f"{total:,} file{'s' * (total > 1)} without the ending of {kind}: {kinds}"
