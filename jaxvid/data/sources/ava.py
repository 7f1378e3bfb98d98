"""A csv of boxes in key frames and what people do in them, as AVA publishes it (Gu et al., 2018).

A line a box and class: `VIDEO,TIME,x1,y1,x2,y2,class,person`, TIME in seconds or frames, corners as
shares of the picture. Classes are numbers, or names. A line of VIDEO and TIME alone, as for frames
without people, is left out, and so is what is after the class.
"""

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxvid.data import annotations
from jaxvid.data import proposals as files
from jaxvid.data.keyframes import Boxes, Key, KeyFrames, check_boxes, find_files, flat
from jaxvid.data.labels import to_numbers
from jaxvid.errors import UserError, did_you_mean


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
    fps: float = 0.0,
    first_class: int = 1,
    meaning: str = "",
    least: float = 0.9,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> KeyFrames:
    """Read a csv and the proposals for its key frames.

    Args:
      split: without proposals, "train" learns from the true boxes alone.
      root: folder that all files and `prefix` lie in.
      file: the csv.
      proposals: see `data/proposals.py`; or "true", for the true boxes.
      exclude: csv of VIDEO,TIME that are left out.
      prefix: folder of the videos.
      suffix: of their names, where the csv has none; by default it is looked for.
      template: of the names of frames, "img_{:05}.jpg", where each video is a folder of them.
      start: time at which the videos begin: AVA's are cut out from second 900 on.
      fps: frames per unit of TIME: 30 for AVA's folders of frames, 1 where TIME counts frames;
        0 for seconds of videos, which have timestamps.
      first_class: the number of the first class.
      meaning: file that says what the numbers of classes mean: .pbtxt (id and name), or a name a
        line. Then classes are those of `names`, and lines of others are left out.
      least: score of a proposal; the best one is taken where none has it.
      names: class names by label.

    Warns of lines that say again what another one says: they count once.

    Raises:
      UserError: no such file, or a line that cannot be used; it names file, line and why.
    """
    path = annotations.find(root, file, split, "list")
    table, classes, lines = read_csv(path)
    told = Path(root, meaning) if meaning else None
    labels, names = number_classes(classes, names, num_classes, first_class, told, path, lines)
    left_out = set()
    if exclude:
        left_out = read_keys(annotations.find(root, exclude, split, "list", "exclude"))
    frames: dict[Key, dict[tuple, set[int]]] = {}
    first_line: dict[Key, int] = {}
    again = []
    count = len(names) or num_classes or 0
    excluded = np.zeros(count, np.int32)
    for (key, box), label, line in zip(table, labels, lines, strict=True):
        if label < 0:
            continue
        if key in left_out:
            excluded[label] += 1
            continue
        found = frames.setdefault(key, {}).setdefault(box, set())
        if label in found:
            again.append(f"{path}:{line}: {key} has this box with this class twice")
        found.add(label)
        first_line.setdefault(key, line)
    if not frames:
        raise UserError(f"{path}: no key frame of {split} has a box of these classes")
    if again:
        lines_like = "1 line" if len(again) == 1 else f"{len(again):,} lines like it"
        warnings.warn(f"{again[0]}; {lines_like} counted once, remove them", stacklevel=2)
    keys = list(frames)
    truth = flat([np.array(list(boxes)) for boxes in frames.values()])
    box_label = np.zeros((len(truth.all), count), np.uint8)
    for row, found in enumerate(found for boxes in frames.values() for found in boxes.values()):
        box_label[row, list(found)] = 1
    videos = {key.video: None for key in keys}
    index = {video: i for i, video in enumerate(videos)}
    folder = Path(root, prefix)
    places = [str(folder / v) for v in videos] if template else find_files(folder, videos, suffix)
    return KeyFrames(
        videos=tuple(videos),
        files=tuple(places),
        video=np.array([index[key.video] for key in keys], np.int32),
        time=np.array([key.time for key in keys]),
        start=start,
        truth=truth,
        box_label=box_label,
        proposals=proposed(keys, truth, root, proposals, least, split),
        names=names,
        origin=str(path),
        lines=tuple(first_line[key] for key in keys),
        fps=fps,
        template=template,
        excluded=excluded,
    )


def proposed(
    keys: Sequence[Key], truth: Boxes, root: str, name: str, least: float, split: str
) -> Boxes:
    """The proposals that `proposals=name` asks for."""
    if name == "true":
        return truth
    if name:
        path = Path(root, name)
        return files.select(keys, files.read(path), least, path)
    if split != "train":
        raise UserError(
            f"config.data.{split}.proposals is missing: the file of boxes to classify; with"
            ' "true", the true ones'
        )
    return flat([np.zeros((0, 4))] * len(keys))


def read_csv(path: Path) -> tuple[list[tuple[Key, tuple]], list[str], list[int]]:
    """Of every line with a box: (key frame, box), class as it stands there, and line number."""
    table, classes, lines = [], [], []
    for number, cells in annotations.rows(path):
        if len(cells) == 2 or (number == 1 and not is_number(cells[1])):  # nobody, or a header
            continue
        if len(cells) < 7:
            raise UserError(
                f'{path}:{number}: expected "video,time,x1,y1,x2,y2,class,person", found'
                f' "{",".join(cells)}"'
            )
        for cell in cells[1:6]:
            if not is_number(cell):
                raise UserError(f'{path}:{number}: "{cell}" is no number: video,time,x1,y1,x2,y2')
        time, *box = map(float, cells[1:6])
        table.append((Key(cells[0], time), tuple(box)))
        classes.append(cells[6])
        lines.append(number)
    if not table:
        raise UserError(f"{path}: there is no box in it")
    check_boxes(np.array([box for _, box in table]), lambda i: f"{path}:{lines[i]}")
    return table, classes, lines


def read_keys(path: Path) -> set[Key]:
    """Key frames in a csv of VIDEO,TIME."""
    found = set()
    for number, cells in annotations.rows(path):
        if len(cells) != 2 or not is_number(cells[1]):
            raise UserError(f'{path}:{number}: expected "video,time", found "{",".join(cells)}"')
        found.add(Key(cells[0], float(cells[1])))
    return found


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


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
    """Classes as a csv has them -> labels, -1 for those left out, and class names by label.

    Raises:
      UserError: one that is unknown; names file and line.
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
    numbers = [n for n in map(annotations.whole_number, classes) if n is not None]
    if len(numbers) < len(classes):
        cells = [[cell] for cell in classes]
        labels, names = to_numbers(cells, names, False, num_classes, path, lines)
        return np.asarray(labels).tolist(), names
    count = len(names) or num_classes or 0
    if not count:
        raise UserError(
            f"{path}: classes are numbers here; set config.data.num_classes or config.data.names"
        )
    for cell, number, line in zip(classes, numbers, lines, strict=True):
        if not first <= number < first + count:
            raise UserError(
                f"{path}:{line}: class {cell} is outside {first}..{first + count - 1}: there are"
                f" {count} classes, and the first is number {first} (first_class of this source)"
            )
    return [number - first for number in numbers], names


def read_meaning(path: Path, first: int) -> dict[int, str]:
    """Class names by number, from a .pbtxt, lines NUMBER: NAME, or names, a line each.

    Raises:
      UserError: no such file, or a name for two numbers.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file of class names (meaning, of this source)")
    content = path.read_text(encoding="utf-8-sig")
    if "item" in content and "{" in content:
        names = re.findall(r'name:\s*"(.*)"', content)
        numbers = re.findall(r"\bid:\s*(\d+)|label_id:\s*(\d+)", content)
        found = [(int(a or b), name) for (a, b), name in zip(numbers, names, strict=True)]
    else:
        told = [line.strip() for line in content.splitlines() if line.strip()]
        split = [re.fullmatch(r"(\d+)\s*:\s*(.+)", line) for line in told]
        if all(split):
            found = [(int(m[1]), m[2]) for m in split if m]
        else:
            found = list(enumerate(told, first))
    for name, count in Counter(name for _, name in found).items():
        if count > 1:
            raise UserError(f'{path}: "{name}" is the name of {count} classes')
    return dict(sorted(found))
