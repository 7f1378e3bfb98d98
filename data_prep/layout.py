"""Paths and annotation files of unpacked archives."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxvid.data.annotations import lists
from jaxvid.data.video import video_files
from jaxvid.errors import UserError, did_you_mean


def first_existing(source: Path, *names: str) -> Path:
    """Return the path of the first of these files or folders below `source` that exists.

    Raises:
      UserError: none of them exists.
    """
    for name in names:
        if (source / name).exists():
            return source / name
    raise UserError(
        f"{source}: there is no {' or '.join(names)} in it; see the README for --source"
    )


def below(folder: Path, endings: tuple[str, ...] = video_files.VIDEOS) -> list[str]:
    """Return the paths of all files below a folder, relative to it.

    Args:
      endings: extensions of the files; by default those of videos.
    """
    found = (
        path for path in video_files.walk(folder) if video_files.has_ending(path.name, endings)
    )
    return [os.path.relpath(path, folder) for path in found]


def stems(folder: Path, endings: tuple[str, ...] = video_files.VIDEOS) -> dict[str, str]:
    """Return {name without extension: path below the folder} of all files below a folder."""
    return {Path(path).stem: path for path in below(folder, endings)}


def lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not blank."""
    return [line for line in _text(path).splitlines() if line.strip()]


def table(path: Path, delimiter: str = ",") -> Iterator[list[str]]:
    """Return the rows of a csv file that are not empty."""
    return (row for row in csv.reader(lines(path), delimiter=delimiter) if row)


def records(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    """Return the rows of a csv file by column.

    Raises:
      UserError: the header lacks one of `columns`.
    """
    table = csv.DictReader(lines(path))
    for column in columns:
        if column not in (table.fieldnames or ()):
            raise UserError(
                f'{path}:1: no column "{column}".{did_you_mean(column, table.fieldnames or ())}'
            )
    return iter(table)


def json_file(path: Path) -> Any:
    """Return the content of a JSON file."""
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None


def _text(path: Path) -> str:
    try:
        return lists.read_text(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; see the README for --source") from None
