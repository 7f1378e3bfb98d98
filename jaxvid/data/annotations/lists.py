"""Functions that search and read files of annotations.

This is the only module that handles the details of lists: encoding, comments, blank lines, headers,
separators and quotes.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxvid.errors import UserError

# Possible first cells of the header of a csv.
HEADER = {
    "path", "paths", "file_path", "filepath", "video", "videos", "video_path", "video_name",
    "video_id", "videoid", "file", "files", "filename", "file_name", "clip", "clip_id", "name",
    "id", "folder", "frame_dir",
}  # fmt: skip
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
WORD = re.compile(r'"((?:[^"]|"")*)"(?!\S)|(\S+)')  # a word in a line of a file that is not a csv
MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}  # encoding by the first bytes of a file


def of_split(file: str, split: str) -> str:
    """Return the name of the file of a split: "{split}" in `file` is replaced by the split."""
    return file.replace("{split}", split)


def file_of(root: str, file: str, split: str, what: str = "annotations", key: str = "file") -> Path:
    """Return the path of a file that is an option of a source.

    Args:
      root: folder of the data.
      file: name of the file, relative to `root`; can contain "{split}".
      split: name of the split.
      what: kind of the file, for the message.
      key: name of the option, for the message.

    Raises:
      UserError: the file does not exist.
    """
    path = Path(root, of_split(file, split))
    if not path.is_file():
        raise UserError(
            f"{path}: no such {split} {what}; set config.data.root or config.data.{split}.{key}"
        )
    return path


def find_split(root: str, split: str, endings: Sequence[str]) -> str:
    """Return the name of the file of a split in `root`, such as "train.csv"; "" if none exists."""
    return next((f"{split}{e}" for e in endings if Path(root, f"{split}{e}").is_file()), "")


def expect_split(root: str, split: str, endings: Sequence[str], what: str) -> str:
    """Return the name of the file of a split like `find_split`, but it must exist.

    Args:
      what: content of the folder, for messages.

    Raises:
      UserError: `root` or the file does not exist.
    """
    if not root:
        raise UserError(f"set --config.data.root to the folder of your {what}")
    if not Path(root).is_dir():
        raise UserError(f"{root}: no such folder; set --config.data.root to your {what}")
    if not (name := find_split(root, split, endings)):
        raise UserError(f"{root}: there is no {' or '.join(split + e for e in endings)} in it")
    return name


def read_text(path: Path) -> str:
    """Return the text of a file without a byte order mark. Raises UserError if it is not UTF-8."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # do not change line ends
            return file.read()
    except UnicodeDecodeError:
        mark = MARKS.get(path.read_bytes()[:2])
        hint = f"; it is {mark}, save it as UTF-8" if mark else ""
        raise UserError(f"{path}: this is not text in UTF-8{hint}") from None


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, stripped text) of every line that is not blank and not a comment.

    Comments are lines that start with #.

    Raises:
      UserError: the file is not text in UTF-8.
    """
    for number, line in enumerate(re.split(r"\r\n|\n|\r", read_text(path)), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, text


def rows(path: Path, header: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, stripped cells) of every line that is not blank and not a comment.

    Cells of a .csv are separated by commas, or by tabs or semicolons if its first line has no
    comma. Cells of a .tsv are separated by tabs. In other files, cells are words. In all files,
    cells in quotes can contain separators. Empty cells at the end of a line are left out.

    Args:
      header: whether to yield the header of a csv or tsv, see `is_header`.

    Raises:
      UserError: the file is not text in UTF-8, or a csv or tsv is invalid.
    """
    if not is_table(path):
        for number, text in lines(path):
            yield number, [unquoted(match) for match in WORD.finditer(text)]
        return
    first = True
    for number, cells in _table(path):
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            if header or not first or not is_header(cells):
                yield number, cells
            first = False


def is_table(path: Path) -> bool:
    """Return whether the file extension is csv or tsv."""
    return path.suffix.lower() in (".csv", ".tsv")


def is_header(cells: list[str]) -> bool:
    """Return whether the first line of a table has column names: a known name, and no number."""
    return cells[0].lower() in HEADER and not any(map(NUMBER.fullmatch, cells))


def _table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of all lines of a csv or tsv. Comments are blank lines."""
    text = read_text(path)
    start = next((text for _, text in lines(path)), "")
    between = "\t" if path.suffix.lower() == ".tsv" else _separator(start)
    number, begins = 0, True  # `begins`: at the start of a row, where a comment can be

    def physical() -> Iterator[str]:
        nonlocal begins
        for line in split_lines(text):
            comment = begins and line.lstrip().startswith("#")
            begins = False
            yield "\n" if comment else line

    table = csv.reader(physical(), delimiter=between, skipinitialspace=True, strict=True)
    try:
        for cells in table:
            number, begins = table.line_num, True
            yield number, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise UserError(f"{path}:{number + 1}: {error}") from None


def split_lines(text: str) -> list[str]:
    """Return lines with their line ends: \\n, \\r\\n, or a single \\r from old programs.

    `str.splitlines` also splits at Unicode line separators, which can be part of a text.
    """
    return re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+$", text)


def _separator(line: str) -> str:
    """Return the separator of a csv, detected from its first line."""
    bare = re.sub(r'"[^"]*"', "", line)
    return next((mark for mark in ",\t;" if mark in bare), ",")


def unquoted(match: re.Match[str]) -> str:
    """Return the cell of a match of WORD, without quotes."""
    return match[2] if match[1] is None else match[1].replace('""', '"')


def whole_number(cell: str) -> int | None:
    """Return the whole number in a cell, or None. 2.0 is a whole number: data frames write it."""
    if not NUMBER.fullmatch(cell):
        return None
    if cell.lstrip("+-").isdigit() and len(cell) < 20:  # longer numbers are not useful
        return int(cell)
    value = float(cell)
    return int(value) if value.is_integer() else None


def parse_json(text: str, path: Path, twice: Callable[[str], str] | None = None) -> Any:
    """Parse the text of the json file `path`.

    Args:
      twice: function that returns the message for a key that appears twice. The standard module
        json would keep the last value only.

    Raises:
      UserError: the text is not json, or a key appears twice.
    """

    def unique(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            key = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise UserError(twice(key) if twice else f'{path}: "{key}" appears twice')
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: this is not json: {error.msg}") from None
