"""Files of proposals: boxes of people from a detector, for each key frame.

| file   | content                                                                       |
|--------|-------------------------------------------------------------------------------|
| .pkl   | {"VIDEO,TIME": array (n, 4), or (n, 5) with scores}, as MMAction2 publishes   |
| .json  | {"VIDEO,TIME": [[x1, y1, x2, y2, score], ...]}                                |
| .csv   | one box per line: VIDEO,TIME,x1,y1,x2,y2,score; a header is optional          |

Corners are shares of the frame. Scores are from 0 to 1 and optional.

Shape letters: n proposals of a key frame, k proposals of all key frames.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid import pickles
from jaxvid.data.annotations import lists
from jaxvid.data.annotations.entries import Entry, csv_lines, csv_numbers, entry
from jaxvid.data.annotations.key_frames import TOLERANCE, Boxes, Key, check_boxes, flat
from jaxvid.errors import UserError
from jaxvid.log import warn_once

logger = logging.getLogger(__name__)

COLUMNS = ("video", "time", "x1", "y1", "x2", "y2", "score")
WHOLE = np.array([[0, 0, 1, 1]], np.float32)


def read(path: Path) -> dict[Key, np.ndarray]:
    """Read a file of proposals.

    Returns:
      {key frame: float64 (n, 5), box and score}.

    Raises:
      UserError: the file does not exist or is invalid; the message has the file, and key or line.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: no such file of proposals. Those of AVA and MultiSports are published; for"
            " your own videos, use any person detector"
        )
    kind = path.suffix.lower()
    if kind == ".csv":
        return _read_csv(path)
    if kind == ".json":
        found = lists.parse_json(lists.read_text(path), path)
    else:
        found = pickles.load(path.read_bytes(), str(path))
    file = entry(found, str(path), '{"VIDEO,TIME": boxes}')
    names, rows = list(found), [_rows(file, name) for name in found]
    ends, boxes = np.cumsum([len(r) for r in rows]), np.concatenate([np.zeros((0, 5)), *rows])
    _check(boxes, lambda i: f'{path}: "{names[np.searchsorted(ends, i, "right")]}"')
    return _unique(zip((_key(name, str(path)) for name in names), rows, strict=True), path)


def certain(rows: np.ndarray, least: float) -> np.ndarray:
    """Return the boxes (n, 4) of proposals (n, 5) with a score of at least `least`.

    If no proposal has this score, the one with the highest score is returned.
    """
    return rows[rows[:, 4] >= min(least, rows[:, 4].max(initial=-np.inf)), :4]


def select(keys: Sequence[Key], found: Mapping[Key, np.ndarray], least: float, path: Path) -> Boxes:
    """Return the proposals of key frames.

    As published, a key frame that is not in the file gets a box of the whole frame. Warnings count
    these key frames, and those with an empty list of boxes.

    Args:
      keys: the key frames.
      found: proposals by key frame, from `read`.
      least: minimum score, see `certain`.
      path: file of the proposals, for messages.

    Raises:
      UserError: no key frame has a proposal.
    """
    without = [key for key in keys if key not in found]
    if len(without) == len(keys):
        known = ", ".join(f'"{key}"' for key in list(found)[:2]) or "nothing"
        raise UserError(
            f'{path}: no key frame has proposals, such as "{keys[0]}"; it has {known} ...'
        )
    empty = [key for key in keys if key in found and not len(found[key])]
    if len(empty) + len(without) == len(keys):
        raise UserError(
            f'{path}: no box for any of the {len(keys):,} key frames, such as "{empty[0]}": did the'
            " detector see no person, or was its threshold too high?"
        )
    if without:
        warn_once(
            logger,
            f"{path}: no proposals for {len(without):,} of {len(keys):,} key frames, such as"
            f' "{without[0]}"; the whole frame is used for them',
        )
    if empty:
        warn_once(
            logger,
            f"{path}: a list without a box for {len(empty):,} of {len(keys):,} key frames, such as"
            f' "{empty[0]}"; nobody can be recognized there',
        )
    strange = {key.video for key in found} - {key.video for key in keys}
    if strange:
        warn_once(
            logger,
            f"{path}: proposals for {len(strange):,} videos that are not annotated, such as"
            f' "{min(strange)}"; they are not used',
        )
    return flat([certain(found[key], least) if key in found else WHOLE for key in keys])


def _read_csv(path: Path) -> dict[Key, np.ndarray]:
    scored = csv_lines(path, COLUMNS, slice(1, 7))
    if all(len(cells) == len(COLUMNS) - 1 for _, cells in scored):
        scored = [(number, (*cells, "1")) for number, cells in scored]
    values = csv_numbers(path, scored, COLUMNS, slice(1, 7))
    _check(values[:, 1:], lambda i: f"{path}:{scored[i][0]}")
    found: dict[Key, list] = {}
    for (number, cells), time, box in zip(
        scored, values[:, 0].tolist(), values[:, 1:], strict=True
    ):
        if not cells[0]:
            raise UserError(f"{path}:{number}: the name of the video is missing")
        found.setdefault(Key(cells[0], time), []).append(box)
    return {key: np.stack(rows) for key, rows in found.items()}


def _unique(pairs: Iterable[tuple[Any, Any]], path: Path) -> dict:
    """Return {key frame: boxes}. Raises UserError if a key frame appears twice."""
    found = {}
    for key, boxes in pairs:
        if key in found:
            raise UserError(f'{path}: "{key}" appears twice; join its boxes')
        found[key] = boxes
    return found


def _key(name: Any, where: str) -> Key:
    video, _, time = str(name).rpartition(",")
    try:
        key = Key(video, float(time))
    except ValueError:
        key = Key("", 0.0)
    if not key.video or not math.isfinite(key.time):
        raise UserError(f'{where}: "{name}" is not a key frame; expected VIDEO,TIME')
    return key


def _rows(file: Entry, name: Any) -> np.ndarray:
    """Return the boxes and scores of a key frame, float64 (n, 5)."""
    expected = "(boxes, 4 or 5): x1, y1, x2, y2, score"
    rows = np.asarray(file.array(name, expected), np.float64)
    if not rows.size:
        return np.zeros((0, 5))
    if rows.ndim != 2 or rows.shape[1] not in (4, 5):
        raise UserError(f'{file.where}: "{name}" has shape {rows.shape}; expected {expected}')
    return rows if rows.shape[1] == 5 else np.column_stack([rows, np.ones(len(rows))])


def _check(rows: np.ndarray, where: Callable[[int], str]) -> None:
    """Raise a UserError if boxes or scores (k, 5) are not finite, or out of range."""
    check_boxes(rows[:, :4], where)
    bad = ~((rows[:, 4] >= -TOLERANCE) & (rows[:, 4] <= 1 + TOLERANCE))
    for i in np.flatnonzero(bad).tolist():
        raise UserError(f"{where(i)}: score is {rows[i, 4]:g}; expected a number from 0 to 1")
