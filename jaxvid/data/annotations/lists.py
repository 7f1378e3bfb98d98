"""Files of annotations: finding and reading them, or saying what is wrong with them.

This is the one place that knows how lists are written: encoding, comments, blank lines, headers,
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

# What the first cell of a csv says when its first line is a header.
HEADER = {
    "path", "paths", "file_path", "filepath", "video", "videos", "video_path", "video_name",
    "video_id", "videoid", "file", "files", "filename", "file_name", "clip", "clip_id", "name",
    "id", "folder", "frame_dir",
}  # fmt: skip
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
WORD = re.compile(r'"((?:[^"]|"")*)"(?!\S)|(\S+)')  # of a line that is no csv
MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}  # what a file begins with


def of_split(file: str, split: str) -> str:
    """Return the name of the file of a split, which replaces "{split}" in `file`."""
    return file.replace("{split}", split)


def file_of(root: str, file: str, split: str, what: str = "annotations", key: str = "file") -> Path:
    """Return the path of a file that the source of a split names with `key`, see `of_split`.

    Raises:
      UserError: it does not exist.
    """
    path = Path(root, of_split(file, split))
    if not path.is_file():
        raise UserError(
            f"{path}: no such {split} {what}; set config.data.root or config.data.{split}.{key}"
        )
    return path


def find_split(root: str, split: str, endings: Sequence[str]) -> str:
    """The name of the file of a split in `root`, "train.csv" or with another ending; "" if none."""
    return next((f"{split}{e}" for e in endings if Path(root, f"{split}{e}").is_file()), "")


def expect_split(root: str, split: str, endings: Sequence[str], what: str) -> str:
    """As `find_split`, of a folder of one's own that must have it.

    Raises:
      UserError: `root` is missing or lacks the file.
    """
    if not root:
        raise UserError(f"set --config.data.root to the folder of your {what}")
    if not Path(root).is_dir():
        raise UserError(f"{root}: no such folder; set --config.data.root to your {what}")
    if not (name := find_split(root, split, endings)):
        raise UserError(f"{root}: there is no {' or '.join(split + e for e in endings)} in it")
    return name


def read_text(path: Path) -> str:
    """The text of a file, without a mark of its byte order. Raises UserError if it is not UTF-8."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # line ends stay as they are
            return file.read()
    except UnicodeDecodeError:
        mark = MARKS.get(path.read_bytes()[:2])
        hint = f"; it is {mark}, save it as UTF-8" if mark else ""
        raise UserError(f"{path}: this is not text in UTF-8{hint}") from None


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, text without blanks around it) of every line that is no comment and not blank.

    Comments are lines that start with #.

    Raises:
      UserError: the file is not text in UTF-8.
    """
    for number, line in enumerate(re.split(r"\r\n|\n|\r", read_text(path)), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, text


def rows(path: Path, header: bool = False) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells without blanks around them) of every line that says something.

    A .csv is separated by commas, or by semicolons or tabs where its first line has no comma; a
    .tsv by tabs. In other files, cells are words. Quotes keep separators, in files of words too.
    Comments and blank lines are left out, and so are empty cells at the end of a line.

    Args:
      header: yield the header of a csv or tsv, too; see `is_header`.

    Raises:
      UserError: the file is not text in UTF-8, or not a csv as its name says.
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
    """Whether the ending of a list says csv or tsv."""
    return path.suffix.lower() in (".csv", ".tsv")


def is_header(cells: list[str]) -> bool:
    """Whether the first line of a table names its columns: it has no number in it."""
    return cells[0].lower() in HEADER and not any(map(NUMBER.fullmatch, cells))


def _table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of a csv or tsv as it stands."""
    text = read_text(path)
    start = next((text for _, text in lines(path)), "")
    between = "\t" if path.suffix.lower() == ".tsv" else _separator(start)
    number, begins = 0, True  # a row: in the middle of one, within quotes, there are no comments

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
    """Lines with their ends: \\n, \\r\\n, or a single \\r, as old programs write it.

    `str.splitlines` also ends a line where Unicode separates the lines of one text.
    """
    return re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+$", text)


def _separator(line: str) -> str:
    """That of a csv by its first line."""
    bare = re.sub(r'"[^"]*"', "", line)
    return next((mark for mark in ",\t;" if mark in bare), ",")


def unquoted(match: re.Match[str]) -> str:
    """A cell, of a match of WORD."""
    return match[2] if match[1] is None else match[1].replace('""', '"')


def whole_number(cell: str) -> int | None:
    """What a cell says if it is a whole number, also as data frames write it (2.0); else None."""
    if not NUMBER.fullmatch(cell):
        return None
    if cell.lstrip("+-").isdigit() and len(cell) < 20:  # more digits are no number of anything
        return int(cell)
    value = float(cell)
    return int(value) if value.is_integer() else None


def parse_json(text: str, path: Path, twice: Callable[[str], str] | None = None) -> Any:
    """What the text of the file `path` holds.

    Args:
      twice: the message when a key is there twice, of which json alone would keep the last.

    Raises:
      UserError: it is not json, or a key is there twice.
    """

    def unique(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            key = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise UserError(twice(key) if twice else f'{path}: "{key}" is there twice')
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: this is no json: {error.msg}") from None
