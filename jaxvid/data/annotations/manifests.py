"""What is known of video files without opening them: a line a file, jsonl or csv by its ending.

`python -m jaxvid.tools.scan` writes manifests; lists of videos read them (`manifest=`). Paths are
relative to the folder of the manifest, so that both can move together.
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
      reason: why it is bad.
      frames, fps, duration: as VideoReader counts them; duration in seconds.
      decoded: how many frames were decoded to see whether that works.
      codec, rotation, width, height: rotation in degrees, sizes as shown.
      size: bytes.
      modified: when it was written, seconds since 1970.
      sha256: of its content, where asked for.
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

    @property
    def ok(self) -> bool:
        return self.status == "ok"


TYPES: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(Row)}


def read(path: Path) -> dict[str, Row]:
    """{absolute path of the file: its row}; where a file has several, the last one.

    A last line that a killed scan left unfinished is not counted.

    Raises:
      UserError: no such manifest, or a line that is none; names file and line.
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


def fresh(path: Path, videos: Sequence[str]) -> list[Row | None]:
    """The row of each video, as far as the manifest `path` knows it; None for others.

    A file of another size is an error. One of the same size that was only written again (as by a
    copy) is taken for the same if it was good, and looked at again if it was bad.

    Raises:
      UserError: as `read`, or files that have another size than the manifest says; names them.
    """
    known = read(path)
    rows = [known.get(os.path.abspath(video)) for video in videos]
    with ThreadPoolExecutor(16) as pool:  # network file systems answer slowly, but many at once
        there = list(pool.map(_stat, videos, rows))
    changed = [
        f"{video} has {now.st_size:,} bytes, {row.size:,} by the manifest"
        for video, row, now in zip(videos, rows, there, strict=True)
        if row and now and now.st_size != row.size
    ]
    if changed:
        raise UserError(
            f"{path}: {', '.join(first(changed, 1))}: changed since; python -m jaxvid.tools.scan"
            " brings it up to date"
        )
    return [
        None if row and now and not row.ok and now.st_mtime != row.modified else row
        for row, now in zip(rows, there, strict=True)
    ]


def _stat(video: str, row: Row | None) -> os.stat_result | None:
    """What the file system says of a video whose row says when it was written."""
    try:
        return os.stat(video) if row and row.modified else None
    except OSError:  # whether files are there is checked elsewhere
        return None


def write(path: Path, rows: Iterable[Row]) -> None:
    """The whole manifest at once, in place of what is there."""
    head = _csv_line(TYPES) if _is_csv(path) else ""
    with explained(path):
        write_text(path, head + "".join(line(path, row) for row in rows))


def line(path: Path, row: Row) -> str:
    """The line of a row in the manifest `path`, to append to it."""
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
