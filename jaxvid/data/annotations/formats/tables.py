"""Tables: lists of videos, segments as csv, and boxes as csv.

MMAction2's files have numbers of classes, and those of jaxvid have names.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxvid.data.annotations import lists
from jaxvid.data.annotations.entries import csv_lines, csv_numbers
from jaxvid.data.annotations.formats.items import Annotations, Box, Format, Known, Label
from jaxvid.data.annotations.key_frames import Key
from jaxvid.errors import UserError

SEGMENT = ("video", "start", "end", "label")
BOX = ("video", "time", "x1", "y1", "x2", "y2", "class", "person")


def read_list(path: Path, known: Known) -> Annotations:
    """Read a list of videos with one or more classes per line."""
    found = Annotations()
    for number, (video, *labels) in lists.rows(path):
        where = f"{path}:{number}"
        if not video or not all(labels) or not labels:
            raise UserError(f'{where}: expected a video and its class, found "{video}"')
        found.labels.append(Label(video, tuple(known.name(cell, 0, where) for cell in labels)))
    return found


def write_list(found: Annotations, known: Known) -> str:
    """Return a list in MMAction2's format."""
    rows = ((i.video, *(known.number(label, 0) for label in i.labels)) for i in found.labels)
    return "".join(" ".join(map(_word, row)) + "\n" for row in rows)


def write_csv(found: Annotations, known: Known) -> str:
    """Return a csv with lines path,label."""
    return _table([("path", "label"), *((item.video, *item.labels) for item in found.labels)])


def read_segments(path: Path, known: Known) -> Annotations:
    """Read a csv with lines video,start,end,label."""
    found, lines = Annotations(), csv_lines(path, SEGMENT, slice(1, 3))
    times = csv_numbers(path, lines, SEGMENT, slice(1, 3)).tolist()
    for (number, cells), (start, end) in zip(lines, times, strict=True):
        where = f"{path}:{number}"
        if len(cells) != len(SEGMENT):
            raise UserError(f'{where}: expected "{",".join(SEGMENT)}", found "{",".join(cells)}"')
        found.segment(cells[0], start, end, known.name(cells[3], 0, where), where)
    return found


def write_segments(found: Annotations, known: Known) -> str:
    """Return a csv with lines video,start,end,label."""
    return _table([SEGMENT, *((s.video, s.start, s.end, s.label) for s in found.segments)])


def read_boxes(path: Path, known: Known) -> Annotations:
    """Read a csv of AVA. Key frames without a box are counted."""
    found, lines = Annotations(), csv_lines(path, BOX, slice(1, 6))
    empty = [line for line in lines if not any(line[1][2:])]
    lines = [line for line in lines if any(line[1][2:])]
    values = csv_numbers(path, lines, BOX, slice(1, 6)).tolist()
    for (number, cells), (time, *corners) in zip(lines, values, strict=True):
        where = f"{path}:{number}"
        if len(cells) < 7:
            raise UserError(f'{where}: expected "{",".join(BOX)}", found "{",".join(cells)}"')
        cell = "".join(cells[7:8])
        person = lists.whole_number(cell or "-1")
        if person is None:
            raise UserError(f'{where}: person is "{cell}"; expected a whole number')
        found.box(cells[0], time, corners, known.name(cells[6], 1, where), where, person)
    found.ignored = len(empty)
    return found


def write_ava(found: Annotations, known: Known) -> str:
    """Return a csv of AVA with numbers of classes."""
    return _table(_row(box, known.number(box.label, 1)) for box in found.boxes)


def write_boxes(found: Annotations, known: Known) -> str:
    """Return a csv of AVA with names of classes."""
    return _table(_row(box, box.label) for box in found.boxes)


def _row(box: Box, label: str) -> Sequence[object]:
    video, _, time = str(Key(box.video, box.time)).rpartition(",")
    return (video, time, *box.corners, label, box.person)


def _word(cell: str) -> str:
    plain = not any(c.isspace() or c == '"' for c in cell) and not cell.startswith("#")
    return cell if plain else '"' + cell.replace('"', '""') + '"'


def _table(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


FORMATS = {
    "csv": Format("path,label: names of classes", ("labels",), read_list, write_csv),
    "mmaction_list": Format("path label: numbers", ("labels",), read_list, write_list),
    "segments_csv": Format(
        "video,start,end,label in seconds", ("segments",), read_segments, write_segments
    ),
    "boxes": Format("csv of AVA with names of classes", ("boxes",), read_boxes, write_boxes),
    "ava": Format("csv of AVA with numbers of classes", ("boxes",), read_boxes, write_ava),
}
