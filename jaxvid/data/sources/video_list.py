"""A text file with one video a line: `path label`, as MMAction2 writes it, or csv `path,label`.

With several labels a line, `path label label ...`, the set is multi-label. Labels are numbers, or
class names; blank lines, lines that start with # and the header of a csv are left out. Paths with
spaces and names with spaces need a csv.
"""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.data import annotations, manifests
from jaxvid.data.labels import looked_for, ragged
from jaxvid.data.sample import Sample
from jaxvid.errors import UserError, did_you_mean

# What the first cell of a csv says when the line is no video.
HEADER = (
    "path", "paths", "video", "videos", "video_path", "file", "filename", "file_name", "clip",
    "folder", "frame_dir",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Videos:
    """Paths and labels in memory: what list-like sources come down to.

    Attributes:
      paths: one a video.
      labels: int (n,), or MultiLabels.
      names: class names by label; empty when the annotation has none.
      origin: the file or folder they were read from.
      lines: line of each video in `origin`; empty when that has no lines.
      total: int (n,), frames of each video, -1 where unknown; None when all are.
      problems: why videos cannot be read, by row, where that is known.
      repeats: float (n,), how often an epoch of training has each video; None where once.
      category_mask: samples have a `label_mask`, see `build`.
    """

    paths: Sequence[str]
    labels: Any
    names: tuple[str, ...] = ()
    origin: str = ""
    lines: Sequence[int] = field(default=())
    total: np.ndarray | None = None
    problems: Mapping[int, str] = field(default_factory=dict)
    repeats: np.ndarray | None = None
    category_mask: bool = False

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        sample = {"path": self.paths[index], "label": self.labels[index]}
        if self.total is not None and self.total[index] >= 0:
            sample["total"] = int(self.total[index])
        if index in self.problems:
            sample["problem"] = self.problems[index]
        if self.category_mask:
            sample["label_mask"] = looked_for(self.names, sample["label"])
        return sample

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.origin}, {len(self)})"

    def id(self, index: int) -> str:
        return self.paths[index]

    def where(self, index: int) -> str:
        return f"{self.origin}:{self.lines[index]}" if self.lines else self.paths[index]


def build(
    split: str,
    *,
    root: str,
    file: str,
    prefix: str = "",
    suffix: str = "",
    multi_label: bool = False,
    category_mask: bool = False,
    weights: str = "",
    manifest: str = "",
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Videos:
    """Read a list.

    Args:
      split: only for messages.
      root: folder that `file` and `prefix` lie in.
      file: the list.
      prefix: folder of the videos.
      suffix: added to paths without an extension, such as ".mp4".
      multi_label: labels become one 0/1 for each of `num_classes`.
      category_mask: for classes called "category/name" (HVU): samples have a `label_mask` float32
        (classes,), 1 where a class is of a category that the sample has any label of. Nobody has
        looked for labels of the others.
      weights: file with a number for each video, a line each, relative to `root`: how often
        training draws it, compared with the others.
      manifest: what `python -m jaxvid.tools.scan` wrote, relative to `root`. Videos that are bad by
        it are not opened: `config.loader.on_error` says at once what becomes of them. Those with
        another number of frames than it says are bad, too.
      names: class names by label, for lists that hold names.

    Raises:
      UserError: no such file, or a line that cannot be read; it names file and line.
    """
    path = annotations.find(root, file, split, "list")
    paths, raw, lines = [], [], []
    for number, cells in rows(path):
        name, *labels = cells
        if not labels or (len(labels) > 1 and not multi_label):
            comma, quote = (",", "") if _is_csv(path) else (" ", ", and paths with spaces a csv")
            raise UserError(
                f'{path}:{number}: expected "path{comma}label", found "{comma.join(cells)}"'
                + (f"; several labels need multi_label=True{quote}" if labels else "")
            )
        video = Path(root, prefix, name)
        paths.append(str(video if video.suffix else video.with_suffix(suffix)))
        raw.append(labels)
        lines.append(number)
    if not paths:
        raise UserError(f"{path}: the list is empty")
    labels, names = to_numbers(raw, names, multi_label, num_classes, path, lines)
    repeats = read_weights(Path(root, weights), len(paths)) if weights else None
    return Videos(
        paths, labels, names, str(path), lines, *scanned(root, manifest, paths),
        repeats=repeats, category_mask=category_mask,
    )  # fmt: skip


def scanned(
    root: str, manifest: str, paths: Sequence[str]
) -> tuple[np.ndarray | None, dict[int, str]]:
    """`total` and `problems` of a Videos by a manifest below `root`, if one is given."""
    if not manifest:
        return None, {}
    rows = manifests.read(Path(root, manifest))
    found = [rows.get(os.path.abspath(path)) for path in paths]
    total = np.array([row.frames if row and row.ok else -1 for row in found], np.int32)
    bad = {i: row for i, row in enumerate(found) if row and not row.ok}
    return total, {i: f"{row.reason} (says {manifest})" for i, row in bad.items()}


def read_weights(path: Path, count: int) -> np.ndarray:
    """float (count,), with a mean of 1, from a file with a number a line.

    Raises:
      UserError: no such file, another number of lines, or a line that is no weight.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file of weights")
    weights = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        try:
            weights.append(float(line))
        except ValueError:
            weights.append(np.nan)
        if not 0 <= weights[-1] < np.inf:
            raise UserError(f'{path}:{number}: "{line}" is no weight, a number from 0')
    if len(weights) != count or not any(weights):
        found = f"{len(weights)} weights" if any(weights) else "no weight above 0"
        raise UserError(f"{path}: {found} for {count} videos")
    return np.array(weights) / np.mean(weights)


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every line that says something.

    Raises:
      UserError: it is not text, or not a csv as its name says.
    """
    number, header = 0, _is_csv(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.reader(file, strict=True)
            words = enumerate(map(str.split, file), 1)
            for number, cells in ((table.line_num, c) for c in table) if header else words:
                cells = [c.strip() for c in cells if c.strip()]
                if cells and not cells[0].startswith("#"):
                    if not header or cells[0].lower() not in HEADER:
                        yield number, cells
                    header = False
    except UnicodeDecodeError:
        raise UserError(f"{path}: this is not text in UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path}:{number + 1}: {error}") from None


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def to_numbers(
    raw: Sequence[Sequence[str]],
    names: Sequence[str],
    multi_label: bool,
    num_classes: int | None,
    path: Path,
    lines: Sequence[int],
) -> tuple[Any, tuple[str, ...]]:
    """Labels as a list has them -> `labels` and `names` of a Videos.

    Args:
      raw: labels of each row, numbers as text or names of classes; one where not `multi_label`.
      names: class names by label, where another split has settled them.
      path, lines: where the rows are from, for messages.

    Raises:
      UserError: a name that is not in `names`, or a label out of range; names file and line.
    """
    numbers, names = _numbers(raw, names, path, lines)
    if multi_label:
        return _ragged(numbers, num_classes or len(names), path, lines), tuple(names)
    return np.array([n[0] for n in numbers], np.int32), tuple(names)


def _numbers(raw, names, path, lines):
    """Labels as numbers, and the class names they stand for when they were names."""
    every = {label for labels in raw for label in labels}
    # Where some classes are called by words, a numeral can be the name of another.
    named = every <= set(names) and not all(map(_is_number, names))
    if all(map(_is_number, every)) and not named:
        return [[int(label) for label in labels] for labels in raw], names
    names = names or tuple(sorted(every))
    index = {name: i for i, name in enumerate(names)}
    for labels, line in zip(raw, lines, strict=True):
        for label in labels:
            if label not in index:
                near = did_you_mean(label, names)
                raise UserError(f'{path}:{line}: no such class: "{label}".{near}')
    return [[index[label] for label in labels] for labels in raw], names


def _is_number(label: str) -> bool:
    return label.removeprefix("-").isdecimal()


def _ragged(numbers, num_classes, path, lines):
    if not num_classes:
        raise UserError(f"{path}: a multi-label list of numbers needs config.data.num_classes")
    for values, line in zip(numbers, lines, strict=True):
        for value in values:
            if not 0 <= value < num_classes:
                raise UserError(
                    f"{path}:{line}: label {value} is outside 0..{num_classes - 1}"
                    f" (config.data.num_classes={num_classes})"
                )
    return ragged(numbers, num_classes)
