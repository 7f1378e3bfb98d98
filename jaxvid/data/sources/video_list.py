"""A text file with one video per line: `path label`, as MMAction2 writes it, or csv `path,label`.

Lines of a multi-label set have several labels, `path label label ...`. Labels are numbers or class
names. Blank lines, lines that start with # and the header of a csv are ignored. Paths and names
with spaces need quotes, or a csv.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.data.annotations import lists, manifests
from jaxvid.data.annotations.labels import FOR_SEVERAL, looked_for, to_numbers
from jaxvid.data.sample import Sample, Source
from jaxvid.data.video.video_files import with_ending
from jaxvid.errors import UserError


@dataclass(frozen=True, repr=False)
class Videos(Source):
    """Paths and labels of videos in memory. Sources that read lists return this class.

    Attributes:
      paths: path of each video.
      labels: int (n,), or MultiLabels.
      names: class names by label; empty if the annotations have none.
      origin: the file or folder of the annotations.
      lines: line of each video in `origin`; empty if `origin` has no lines.
      total: int (n,), number of frames of each video, -1 if unknown. None if all are unknown.
      problems: known reasons why videos cannot be read, by row.
      indexes: folder of indexes beside a manifest; "" is none.
      repeats: float (n,), number of times that a training epoch contains each video. None means
        once.
      category_mask: whether samples have a `label_mask`, see `build`.
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
    indexes: str = ""

    def __getitem__(self, index: int) -> Sample:
        sample = {"path": self.paths[index], "label": self.labels[index]}
        if self.total is not None and self.total[index] >= 0:
            sample["total"] = int(self.total[index])
        if self.indexes:
            sample["indexes"] = self.indexes
        if index in self.problems:
            sample["problem"] = self.problems[index]
        if self.category_mask:
            sample["label_mask"] = looked_for(self.names, sample["label"])
        return sample

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
      split: name of the split, for `file` and for messages.
      root: folder that contains `file` and `prefix`.
      file: The list, a text or csv file. "{split}" in its name stands for the name of the split.
      prefix: Folder of the videos.
      suffix: File extension that is added to paths without the extension of a video, such as
        ".mp4".
      multi_label: Whether a sample can have any number of labels. Its label is then a vector with 0
        or 1 for each class.
      category_mask: For classes named "category/name" (HVU): a sample has a `label_mask` float32
        (classes,). It is 1 for the classes of each category in which the sample has a label, and 0
        for the others, which were not annotated.
      weights: File with one number per line for each video, relative to `root`: its relative
        frequency in training. "" draws all videos equally often.
      manifest: Manifest of `python -m jaxvid.tools.scan`, relative to `root`. Videos that it marks
        as unreadable are not opened, but handled as `config.loader.on_error` specifies. So are
        videos whose number of frames has changed.
      names: class names by label, for lists whose labels are names.

    Raises:
      UserError: the file does not exist, or a line cannot be read; the message has file and line.
    """
    path = lists.file_of(root, file, split, "list")
    paths, raw, lines = [], [], []
    for number, cells in lists.rows(path):
        name, *labels = cells
        if not name or not labels or (len(labels) > 1 and not multi_label):
            table = lists.is_table(path)
            comma, quote = (",", "") if table else (" ", ", and paths with spaces a csv")
            several = len(labels) > 1 and all(labels)
            raise UserError(
                f'{path}:{number}: expected "path{comma}label", found "{comma.join(cells)}"'
                + (f"; several labels need {FOR_SEVERAL}{quote}" if several else "")
            )
        paths.append(with_ending(str(Path(root, prefix, name)), suffix))
        raw.append(labels)
        lines.append(number)
    if not paths:
        raise UserError(f"{path}: the list is empty")
    labels, names = to_numbers(raw, names, multi_label, num_classes, path, lines)
    repeats = read_weights(Path(root, weights), len(paths)) if weights else None
    return Videos(
        paths,
        labels,
        names,
        str(path),
        lines,
        **scanned(root, manifest, paths),
        repeats=repeats,
        category_mask=category_mask,
    )


def scanned(root: str, manifest: str, paths: Sequence[str]) -> dict[str, Any]:
    """Return `total`, `problems` and `indexes` of a Videos from a manifest below `root`, if given.

    Raises:
      UserError: files have changed since the manifest was written.
    """
    if not manifest:
        return {}
    path = Path(root, manifest)
    found = manifests.fresh(path, paths)
    total = np.array([row.frames if row and row.ok else -1 for row in found], np.int32)
    bad = {i: row for i, row in enumerate(found) if row and not row.ok}
    problems = {i: f"{row.reason} (says {manifest})" for i, row in bad.items()}
    return dict(total=total, problems=problems, indexes=str(manifests.indexes(path)))


def read_weights(path: Path, count: int) -> np.ndarray:
    """Read a file with one weight per line, and return the weights divided by their mean.

    Args:
      count: number of weights that the file must have.

    Returns:
      float (count,).

    Raises:
      UserError: the file does not exist, has another number of lines, or a line is not a weight.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file of weights")
    weights = []
    for number, line in lists.lines(path):
        try:
            weights.append(float(line))
        except ValueError:
            weights.append(np.nan)
        if not 0 <= weights[-1] < np.inf:
            raise UserError(f'{path}:{number}: "{line}" is not a weight; expected a number >= 0')
    if len(weights) != count or not any(weights):
        found = f"{len(weights)} weights" if any(weights) else "no weight above 0"
        raise UserError(f"{path}: {found} for {count} videos")
    return np.array(weights) / np.mean(weights)
