"""Manifests: facts about video files, so that they need not be opened.

A manifest is a jsonl or csv file with one line per video. `python -m jaxvid.tools.scan` writes it,
and sources of videos read it (`manifest=`). Paths are relative to the folder of the manifest, so
that both can be moved together.
"""

import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxvid.errors import UserError, first
from jaxvid.files import explained, write_text

SUFFIXES = (".jsonl", ".csv")


@dataclass(frozen=True)
class Row:
    """One file.

    Attributes:
      path: relative to the folder of the manifest, with "/".
      status: "ok" or "bad".
      reason: why the file is bad.
      frames, fps, duration: as VideoReader returns them; the duration is in seconds.
      decoded: number of frames that were decoded as a test.
      codec: name of the codec.
      rotation: in degrees.
      width, height: in pixels, after the rotation.
      size: in bytes.
      modified: time of the last change, in seconds since 1970.
      sha256: hash of the content; empty unless the scan computed it.
      index: "kept" if there is an index beside the manifest, "none" if the format has none; "" if
        no scan has tried.
    """

    path: str
    status: str
    reason: str = ""
    frames: int = 0
    fps: float = 0.0
    duration: float = 0.0
    decoded: int = 0
    codec: str = ""
    rotation: int = 0
    width: int = 0
    height: int = 0
    size: int = 0
    modified: float = 0.0
    sha256: str = ""
    index: str = ""

    @property
    def ok(self) -> bool:
        return self.status == "ok"


TYPES: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(Row)}


def read(path: Path) -> dict[str, Row]:
    """Read a manifest: {absolute path of a file: its row}. The last row of a file counts.

    An incomplete last line, from a scan that was killed, is ignored.

    Raises:
      UserError: the manifest does not exist, or a line is invalid; the message has file and line.
    """
    as_csv = _is_csv(path)
    if not path.is_file():
        raise UserError(f"{path}: no such manifest; python -m jaxvid.tools.scan writes one")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    table = csv.DictReader(lines) if as_csv else map(json.loads, lines)
    rows, number = [], 1 + as_csv
    try:
        for values in table:
            rows.append(Row(**{key: TYPES[key](value) for key, value in values.items()}))
            number += 1
    except (ValueError, TypeError, KeyError, AttributeError, csv.Error):
        raise UserError(f"{path}:{number}: not a line of a manifest; scan again") from None
    return {os.path.abspath(path.parent / row.path): row for row in rows}


def indexes(path: Path) -> Path:
    """Return the folder of the indexes of the videos of a manifest; see `video.index_cache`.

    It is beside the manifest, so that both can be copied with the videos, and hidden, so that it is
    not taken for a class of videos.
    """
    return path.with_name(f".{path.stem}.indexes")


def fresh(path: Path, videos: Sequence[str]) -> list[Row | None]:
    """Return the row of each video in the manifest `path`, or None if it must be inspected.

    If a file has the same size but another time, such as after a copy, its row is used if the file
    was good. If the file was bad, None is returned, so that it is opened again.

    Raises:
      UserError: the manifest cannot be read, or the size of a file has changed.
    """
    known = read(path)
    rows = [known.get(os.path.abspath(video)) for video in videos]
    with ThreadPoolExecutor(16) as pool:  # hides the latency of network file systems
        there = list(pool.map(_stat, videos, rows))
    changed = [
        f"{video} has {now.st_size:,} bytes, but {row.size:,} in the manifest"
        for video, row, now in zip(videos, rows, there, strict=True)
        if row and now and now.st_size != row.size
    ]
    if changed:
        raise UserError(
            f"{path}: {', '.join(first(changed, 1))}: changed since; run python -m"
            " jaxvid.tools.scan to update the manifest"
        )
    return [
        None if row and now and not row.ok and now.st_mtime != row.modified else row
        for row, now in zip(rows, there, strict=True)
    ]


def _stat(video: str, row: Row | None) -> os.stat_result | None:
    """Return the status of a video file, or None if its row has no time."""
    try:
        return os.stat(video) if row and row.modified else None
    except OSError:  # missing files are reported elsewhere
        return None


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write a manifest atomically. An existing one is replaced."""
    head = _csv_line(TYPES) if _is_csv(path) else ""
    with explained(path):
        write_text(path, head + "".join(line(path, row) for row in rows))


def line(path: Path, row: Row) -> str:
    """Return the line of a row, to append to the manifest `path`."""
    values = dataclasses.asdict(row)
    return _csv_line(values.values()) if _is_csv(path) else json.dumps(values) + "\n"


def _is_csv(path: Path) -> bool:
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: a manifest ends in {' or '.join(SUFFIXES)}")
    return path.suffix.lower() == ".csv"


def _csv_line(cells: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
