"""A csv of boxes and actions of people in key frames, as AVA publishes it (Gu et al., 2018).

Each line has a box and a class: `VIDEO,TIME,x1,y1,x2,y2,class,person`. TIME is in seconds or
frames, and corners are shares of the frame. Classes are numbers or names. Lines with VIDEO and TIME
only, for frames without people, are ignored. So are the columns after the class.
"""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxvid.config.values import Natural, NonNegative, Probability
from jaxvid.data.annotations import boxes as files
from jaxvid.data.annotations import feature_bank, lists
from jaxvid.data.annotations.entries import csv_lines, csv_numbers, is_numeric
from jaxvid.data.annotations.key_frames import Boxes, Key, KeyFrames, check_boxes, find_files, flat
from jaxvid.data.annotations.labels import to_numbers
from jaxvid.errors import UserError, did_you_mean
from jaxvid.log import warn_once

logger = logging.getLogger(__name__)

NAME = re.compile(r'\bname:\s*"(.*)"')  # the name of a class in a .pbtxt file
COLUMNS = ("video", "time", "x1", "y1", "x2", "y2", "class", "person")


def build(
    split: str,
    *,
    root: str,
    file: str,
    proposals: str = "",
    exclude: str = "",
    prefix: str = "",
    suffix: str = "",
    template: str = "",
    start: float = 0.0,
    fps: NonNegative = 0.0,
    first_class: Natural = 1,
    meaning: str = "",
    least: Probability = 0.9,
    bank: str = "",
    tubes: bool = False,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> KeyFrames:
    """Read a csv and the proposals for its key frames.

    Lines that repeat the box and the class of another line count once. A warning says how many
    there are, and names the first.

    Args:
      split: name of the split. "train" needs no proposals and then uses annotated boxes only.
      root: folder that contains all files and `prefix`.
      file: Annotations, a csv file. "{split}" in its name stands for the name of the split.
      proposals: File of boxes to classify (see `data/annotations/boxes.py`); "true" uses the
        annotated boxes.
      exclude: csv file with the key frames to leave out, as lines VIDEO,TIME. "" leaves nothing
        out.
      prefix: Folder of the videos.
      suffix: File extension of the videos, if the csv has none. "" searches for the files.
      template: Pattern of the file names of frames, such as "img_{:05}.jpg", if each video is a
        folder of frames.
      start: Time in the csv, in seconds, at which the video files begin. The video files of AVA
        begin at second 900.
      fps: Number of frames per unit of TIME, for folders of frames: 30 for those of AVA, and 1 if
        TIME is a frame number. 0 is for video files, where TIME is in seconds.
      first_class: Number of the first class in the csv.
      meaning: File that maps class numbers to class names: a .pbtxt file (id and name), or a file
        with one name per line. If it is given, only the classes in `names` are used, and lines of
        other classes are left out.
      least: Minimum score of a proposal. If no proposal of a key frame reaches it, the one with the
        highest score is used.
      bank: Folder of a feature bank, for models that need one (`jaxvid.tools.make_bank`).
        "{split}" in its name stands for the name of the split.
      tubes: All boxes of a person of a video are one tube, for metrics of tubes. Then every line
        needs the column `person`.
      names: class names by label.

    Raises:
      UserError: a file does not exist, or a line is invalid; the message has file, line and reason.
    """
    path = lists.file_of(root, file, split, "list")
    table, classes, people, lines = read_csv(path, start)
    source = Path(root, meaning) if meaning else None
    labels, names = number_classes(classes, names, num_classes, first_class, source, path, lines)
    left_out = set()
    if exclude:
        left_out = read_keys(lists.file_of(root, exclude, split, "list", "exclude"))
    frames: dict[Key, dict[tuple[tuple, int], set[int]]] = {}  # labels by box and tube
    first_line: dict[Key, int] = {}
    numbers: dict[tuple[str, str], int] = {}  # of tubes, by video and person
    again = []
    count = len(names) or num_classes or 0
    excluded = np.zeros(count, np.int32)
    for (key, box), label, person, line in zip(table, labels, people, lines, strict=True):
        if label < 0:
            continue
        if key in left_out:
            excluded[label] += 1
            continue
        if tubes and not person:
            raise UserError(f"{path}:{line}: a tube needs the number of its person, column 8")
        tube = numbers.setdefault((key.video, person), len(numbers)) if tubes else -1
        found = frames.setdefault(key, {}).setdefault((box, tube), set())
        if label in found:
            again.append(f"{path}:{line}: {key} has this box with this class twice")
        found.add(label)
        first_line.setdefault(key, line)
    if not frames:
        raise UserError(f"{path}: no key frame of {split} has a box of these classes")
    if again:
        lines_like = "1 line" if len(again) == 1 else f"{len(again):,} lines like it"
        warn_once(logger, f"{again[0]}; {lines_like} counted once; remove the repeats")
    keys = list(frames)
    true_boxes = flat([np.array([box for box, _ in boxes]) for boxes in frames.values()])
    box_label = np.zeros((len(true_boxes.all), count), np.uint8)
    tube = np.array([tube for boxes in frames.values() for _, tube in boxes], np.int32)
    for row, found in enumerate(found for boxes in frames.values() for found in boxes.values()):
        box_label[row, list(found)] = 1
    videos = {key.video: None for key in keys}
    index = {video: i for i, video in enumerate(videos)}
    folder = Path(root, prefix)
    paths = [str(folder / v) for v in videos] if template else find_files(folder, videos, suffix)
    made_from = (path, Path(root, proposals)) if proposals not in ("", "true") else (path,)
    known = None
    if bank:
        known = feature_bank.read(Path(root, lists.of_split(bank, split)), videos, made_from)
    return KeyFrames(
        videos=tuple(videos),
        files=tuple(paths),
        video=np.array([index[key.video] for key in keys], np.int32),
        time=np.array([key.time for key in keys]),
        start=start,
        true_boxes=true_boxes,
        box_label=box_label,
        proposals=proposed(keys, true_boxes, root, proposals, least, split),
        names=names,
        origin=str(path),
        lines=tuple(first_line[key] for key in keys),
        fps=fps,
        template=template,
        excluded=excluded,
        tube=tube if tubes else None,
        bank=known,
        made_from=made_from,
    )


def proposed(
    keys: Sequence[Key], true_boxes: Boxes, root: str, name: str, least: float, split: str
) -> Boxes:
    """Return the proposals of all key frames that the option `proposals=name` selects."""
    if name == "true":
        return true_boxes
    if name:
        path = Path(root, name)
        return files.select(keys, files.read(path), least, path)
    if split != "train":
        raise UserError(
            f"config.data.{split}.proposals is missing: set it to the file of boxes to classify, or"
            ' to "true" for the annotated boxes'
        )
    return flat([np.zeros((0, 4))] * len(keys))


def read_csv(
    path: Path, start: float
) -> tuple[list[tuple[Key, tuple]], list[str], list[str], list[int]]:
    """Return (key frame, box), class and person as text, and number of every line with a box."""
    lines = csv_lines(path, COLUMNS, slice(1, 6))
    lines = [line for line in lines if len(line[1]) < 2 or any(line[1][2:])]  # others have no box
    if not lines:
        raise UserError(f"{path}: there is no box in it")
    values = csv_numbers(path, lines, COLUMNS, slice(1, 6))
    for number, cells in lines:
        if len(cells) < 7 or not (cells[0] and cells[6]):
            raise UserError(
                f'{path}:{number}: expected "{",".join(COLUMNS)}", found "{",".join(cells)}"'
            )
    for i in np.flatnonzero(values[:, 0] < start).tolist():
        raise UserError(
            f"{path}:{lines[i][0]}: time {values[i, 0]:g} is before the start of the videos,"
            f" {start:g} (option start of this source)"
        )
    check_boxes(values[:, 1:], lambda i: f"{path}:{lines[i][0]}")
    times, boxes = values[:, 0].tolist(), zip(*values[:, 1:].T.tolist(), strict=True)
    table = [
        (Key(cells[0], time), box)
        for (_, cells), time, box in zip(lines, times, boxes, strict=True)
    ]
    people = [cells[7] if len(cells) > 7 else "" for _, cells in lines]
    return table, [cells[6] for _, cells in lines], people, [number for number, _ in lines]


def read_keys(path: Path) -> set[Key]:
    """Return the key frames in a csv with lines VIDEO,TIME."""
    columns = COLUMNS[:2]
    lines = csv_lines(path, columns, slice(1, 2))
    for number, cells in lines:
        if not cells[0] or len(cells) < 2 or any(cells[2:]):
            raise UserError(f'{path}:{number}: expected "video,time", found "{",".join(cells)}"')
    times = csv_numbers(path, lines, columns, slice(1, 2))[:, 0].tolist()
    return {Key(cells[0], time) for (_, cells), time in zip(lines, times, strict=True)}


# Classes


def number_classes(
    classes: Sequence[str],
    names: tuple[str, ...],
    num_classes: int | None,
    first: int,
    meaning: Path | None,
    path: Path,
    lines: Sequence[int],
) -> tuple[Sequence[int], tuple[str, ...]]:
    """Convert the classes of a csv to labels.

    Args:
      classes: class of each line, as text.
      names: class names by label; may be empty.
      first: number of the first class in the csv.
      meaning: file that maps class numbers to class names, if there is one.
      path, lines: the csv and the line of each class, for messages.

    Returns:
      Label of each line, -1 for classes that are left out; and class names by label.

    Raises:
      UserError: a class is unknown; the message has file and line.
    """
    if meaning:
        known = read_meaning(meaning, first)
        names = names or tuple(known.values())
        for name in set(names) - set(known.values()):
            near = did_you_mean(name, known.values())
            raise UserError(f'{meaning}: no class "{name}" (config.data.names) in it.{near}')
        index = {name: i for i, name in enumerate(names)}
        label_of = {str(number): index.get(name, -1) for number, name in known.items()}
        for cell, line in zip(classes, lines, strict=True):
            if cell not in label_of:
                raise UserError(f'{path}:{line}: class "{cell}" is not in {meaning}')
        return [label_of[cell] for cell in classes], names
    numbers = [n for n in map(lists.whole_number, classes) if n is not None]
    if len(numbers) < len(classes):
        return name_classes(classes, names, num_classes, path, lines)
    count = len(names) or num_classes or 0
    if not count:
        raise UserError(
            f"{path}: classes are numbers here; set config.data.num_classes or config.data.names"
        )
    for cell, number, line in zip(classes, numbers, lines, strict=True):
        if not first <= number < first + count:
            raise UserError(
                f"{path}:{line}: class {cell} is outside {first}..{first + count - 1}: there are"
                f" {count} classes, and the first is number {first} (option first_class)"
            )
    return [number - first for number in numbers], names or _numerals(first, count)


def name_classes(
    classes: Sequence[str],
    names: tuple[str, ...],
    num_classes: int | None,
    path: Path,
    lines: Sequence[int],
) -> tuple[Sequence[int], tuple[str, ...]]:
    """Convert classes to labels like `number_classes`, if some classes are not whole numbers."""
    wordy = [i for i, cell in enumerate(classes) if lists.whole_number(cell) is None]
    odd = classes[wordy[0]]
    if not names and (len(wordy) < len(classes) or is_numeric(odd)):
        raise UserError(
            f'{path}:{lines[wordy[0]]}: class is "{odd}"; expected a whole number on every line, or'
            " a name on every line (names that look like numbers are listed in config.data.names)"
        )
    labels, names = to_numbers([[c] for c in classes], names, False, num_classes, path, lines)
    return np.asarray(labels).tolist(), names


def _numerals(first: int, count: int) -> tuple[str, ...]:
    """Return the numbers of classes as names, for classes without names."""
    return tuple(str(number) for number in range(first, first + count))


def read_meaning(path: Path, first: int) -> dict[int, str]:
    """Read class names by number: from a .pbtxt, or lines `NUMBER: NAME`, or one name per line.

    Raises:
      UserError: the file does not exist, an item has no id or name, or a name or number repeats.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file of class names (option meaning of this source)")
    content = lists.read_text(path)
    if "item" in content and "{" in content:
        found = []
        for item in re.findall(r"\bitem\s*{(.*?)}\s*(?=item\b|$)", content, re.DOTALL):
            number, name = re.search(r"\b(?:label_)?id:\s*(\d+)", item), NAME.search(item)
            if not number or not name:
                shown = " ".join(item.split())
                raise UserError(f"{path}: an item needs id and name; found {{{shown}}}")
            found.append((int(number[1]), name[1]))
    else:
        entries = [line.strip() for line in content.splitlines() if line.strip()]
        split = [re.fullmatch(r"(\d+)\s*:\s*(.+)", line) for line in entries]
        if all(split):
            found = [(int(m[1]), m[2]) for m in split if m]
        else:
            found = list(enumerate(entries, first))
    for name, count in Counter(name for _, name in found).items():
        if count > 1:
            raise UserError(f'{path}: "{name}" is the name of {count} classes')
    for number, count in Counter(number for number, _ in found).items():
        if count > 1:
            raise UserError(f"{path}: {number} is the number of {count} classes")
    if not found:
        raise UserError(f"{path}: there is no class in it")
    return dict(sorted(found))
