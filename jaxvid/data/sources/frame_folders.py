"""A list with a folder of frames per line, as MMAction2 writes it: `folder frames label`.

The frames are images, or pairs of gray images for optical flow. The template of their file names
determines which (see readers.FrameFolder). With `offset`, a line is `folder offset frames label`:
the clip has `frames` frames and starts after the first `offset` frames of the folder. Labels,
comments and csv files are as in video_list.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jaxvid.config.values import Natural
from jaxvid.data.annotations import lists
from jaxvid.data.annotations.labels import FOR_SEVERAL, to_numbers
from jaxvid.data.sample import Sample
from jaxvid.data.sources.video_list import Videos
from jaxvid.errors import UserError

MOST = 2**31  # maximum number of frames of a folder


@dataclass(frozen=True, repr=False)
class FrameFolders(Videos):
    """Folders of frames.

    Attributes:
      template: pattern of the file names of frames.
      first: number of the first frame of a folder. None detects whether it is 0 or 1.
      offsets: number of frames of the folder before those of the row, for each row.
      parts: whether rows are parts of folders, so that several rows can have the same folder.
    """

    template: str = ""
    first: int | None = None
    offsets: Sequence[int] = field(default=())
    parts: bool = False

    def __getitem__(self, index: int) -> Sample:
        about: Sample = {"template": self.template}
        if self.first is not None:
            about["first"] = self.first
        if self.parts:
            about["offset"] = self.offsets[index]
        return super().__getitem__(index) | about

    def id(self, index: int) -> str:
        if not self.parts or self.total is None:
            return self.paths[index]
        start = self.offsets[index] + (1 if self.first is None else self.first)
        return f"{self.paths[index]}:{start}+{self.total[index]}"


def build(
    split: str,
    *,
    root: str,
    file: str,
    prefix: str = "",
    template: str = "img_{:05}.jpg",
    first: Natural | None = None,
    offset: bool = False,
    multi_label: bool = False,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> FrameFolders:
    """Read a list.

    Args:
      split: name of the split, for `file` and for messages.
      root: folder that contains `file` and `prefix`.
      file: The list. "{split}" in its name stands for the name of the split.
      prefix: Folder that contains the folders of frames.
      template: Pattern of the file names of frames, such as "img_{:05}.jpg". For optical flow, such
        as "{}_{:05d}.jpg", where the first field is x or y.
      first: Number of the first frame of a folder. None means 0 if a frame with this number exists,
        and 1 otherwise.
      offset: Whether each line has an offset before the number of frames.
      multi_label: Whether a sample can have any number of labels. Its label is then a vector with 0
        or 1 for each class.
      names: class names by label, for lists whose labels are names.

    Raises:
      UserError: the file does not exist, or a line cannot be read; the message has file and line.
    """
    path = lists.file_of(root, file, split, "list")
    columns = ("folder", "offset", "frames") if offset else ("folder", "frames")
    folders, counts, raw, lines = read_counted(path, columns, multi_label)
    paths = [str(Path(root, prefix, folder)) for folder in folders]
    labels, names = to_numbers(raw, names, multi_label, num_classes, path, lines)
    *_, total = columns = np.array(counts).T
    before = columns[0] if offset else np.zeros_like(total)
    return FrameFolders(
        paths,
        labels,
        names,
        str(path),
        lines,
        total,
        template=template,
        first=first,
        offsets=before.tolist(),
        parts=offset,
    )


def read_counted(
    path: Path, columns: Sequence[str], multi_label: bool
) -> tuple[list[str], list[list[int]], list[list[str]], list[int]]:
    """Read a list with numbers of frames between the path and the labels of a sample.

    Args:
      columns: names of the columns before the labels: that of the path, then those of numbers.
      multi_label: whether a line can have several labels.

    Returns:
      For each line: the path, the numbers, the labels as text, and the number of the line.

    Raises:
      UserError: a line cannot be read, or the list is empty; the message has file and line.
    """
    paths, counts, raw, lines = [], [], [], []
    for number, cells in lists.rows(path):
        name, *rest = cells
        before, labels = rest[: len(columns) - 1], rest[len(columns) - 1 :]
        if not name or not labels or (len(labels) > 1 and not multi_label):
            more = f"; several labels need {FOR_SEVERAL}" if labels else ""
            expected = " ".join((*columns, "label"))
            raise UserError(f'{path}:{number}: expected "{expected}", found {cells}{more}')
        numbers = [lists.whole_number(cell) for cell in before]
        if not all(n is not None and 0 <= n < MOST for n in numbers) or not numbers[-1]:
            raise UserError(f'{path}:{number}: "{" ".join(before)}" is not a number of frames')
        paths.append(name)
        counts.append(numbers)
        raw.append(labels)
        lines.append(number)
    if not paths:
        raise UserError(f"{path}: the list is empty")
    return paths, counts, raw, lines
