"""Files of proposals: the boxes in which a detector found people, by key frame.

| file   | what it says of a key frame                                            |
|--------|------------------------------------------------------------------------|
| .pkl   | {"VIDEO,TIME": array (n, 4), or (n, 5) with scores}, as MMAction2's    |
| .json  | {"VIDEO,TIME": [[x1, y1, x2, y2, score], ...]}                         |
| .csv   | a line a box: VIDEO,TIME,x1,y1,x2,y2,score                             |

Corners are shares of the picture, 0..1; scores may be left out.

Shapes: n proposals of a key frame, k of all.
"""

import csv
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid import pickles
from jaxvid.data.keyframes import Boxes, Key, check_boxes, flat
from jaxvid.errors import UserError

WHOLE = np.array([[0, 0, 1, 1]], np.float32)


def read(path: Path) -> dict[Key, np.ndarray]:
    """float64 (n, 5) of each key frame: box and score.

    Raises:
      UserError: no such file, or something else in it; names file, key or line.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: no such file of proposals. AVA's and MultiSports' are published; your own"
            " come from any detector of people"
        )
    if path.suffix == ".csv":
        return _read_csv(path)
    if path.suffix == ".json":
        try:
            text = path.read_text()
            found = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, path))
        except ValueError as error:
            raise UserError(f"{path}: no JSON: {error}") from None
    else:
        found = pickles.load(path.read_bytes(), str(path))
    if not isinstance(found, Mapping):
        raise UserError(f'{path}: holds a {type(found).__name__}, not {{"VIDEO,TIME": boxes}}')
    names, rows = list(found), [_rows(v, f'{path}: "{name}"') for name, v in found.items()]
    ends, boxes = np.cumsum([len(r) for r in rows]), np.concatenate([np.zeros((0, 5)), *rows])
    check_boxes(boxes[:, :4], lambda i: f'{path}: "{names[np.searchsorted(ends, i, "right")]}"')
    return _unique(zip((_key(name, str(path)) for name in names), rows, strict=True), path)


def certain(rows: np.ndarray, least: float) -> np.ndarray:
    """The boxes (n, 4) of proposals (n, 5) that score `least`; the best alone where none does."""
    return rows[rows[:, 4] >= min(least, rows[:, 4].max(initial=-np.inf)), :4]


def select(keys: Sequence[Key], found: Mapping[Key, np.ndarray], least: float, path: Path) -> Boxes:
    """The proposals of key frames; the whole picture where there are none, as published.

    Args:
      found: of `read`.
      least: see `certain`.
      path: where they are from, for messages.

    Warns of how many key frames are without.

    Raises:
      UserError: all are.
    """
    without = [key for key in keys if key not in found]
    if len(without) == len(keys):
        known = ", ".join(f'"{key}"' for key in list(found)[:2]) or "nothing"
        raise UserError(
            f'{path}: proposals of no key frame, such as "{keys[0]}"; it has {known} ...'
        )
    if without:
        warnings.warn(
            f"{path}: no proposals for {len(without):,} of {len(keys):,} key frames, such as"
            f' "{without[0]}"; the whole picture stands for them',
            stacklevel=2,
        )
    return flat([certain(found[key], least) if key in found else WHOLE for key in keys])


def _read_csv(path: Path) -> dict[Key, np.ndarray]:
    found: dict[Key, list] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, cells in enumerate(csv.reader(file), 1):
            where = f"{path}:{number}"
            if cells:
                rows = _rows([cells[2:]], where)
                check_boxes(rows[:, :4], lambda _, where=where: where)
                found.setdefault(_key(",".join(cells[:2]), where), []).append(rows)
    return {key: np.concatenate(rows) for key, rows in found.items()}


def _unique(pairs: Iterable[tuple[Any, Any]], path: Path) -> dict:
    """A dict of (key frame, boxes), none of them twice."""
    found = {}
    for key, boxes in pairs:
        if key in found:
            raise UserError(f'{path}: "{key}" is there twice; join its boxes')
        found[key] = boxes
    return found


def _key(name: Any, where: str) -> Key:
    video, _, time = str(name).rpartition(",")
    try:
        return Key(video, float(time))
    except ValueError:
        raise UserError(f'{where}: "{name}" is no key frame: VIDEO,TIME') from None


def _rows(values: Any, where: str) -> np.ndarray:
    """Boxes and scores float64 (n, 5)."""
    try:
        rows = np.asarray(values, np.float64)
    except ValueError:
        raise UserError(f"{where}: these are not all numbers: x1, y1, x2, y2, score") from None
    if not rows.size:
        return np.zeros((0, 5))
    if rows.ndim != 2 or rows.shape[1] not in (4, 5):
        raise UserError(f"{where}: boxes are rows of x1, y1, x2, y2, score, not {rows.shape}")
    return rows if rows.shape[1] == 5 else np.column_stack([rows, np.ones(len(rows))])
