"""Videos with captions: MSR-VTT, MSVD and lists of captions.

The file extension and the content determine the format:
  json   {"video7.mp4": ["a man sings", ...]}, as MMAction2 prepares MSR-VTT and MSVD; or
         [{"video": "video7.mp4", "caption": "a man sings"}, ...], also with a list of captions, as
         VindLU has MSR-VTT, MSVD and DiDeMo; or
         {"videos": [{"video_id", "split"}], "sentences": [{"video_id", "caption"}]}, the format of
         MSR-VTT itself
  csv,   one caption per row, with a header that contains `video_id` (or video, path) and
  tsv    `sentence` (or caption, text), as in the test sets of MSR-VTT
  other  one caption per line, `video7 a man sings`, as MSVD is published; lines that start with #
         are ignored
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.config.values import Natural
from jaxvid.data.annotations import lists
from jaxvid.data.annotations.entries import Entry, entry
from jaxvid.data.sample import Sample, Source
from jaxvid.data.video.video_files import with_ending
from jaxvid.errors import UserError, did_you_mean
from jaxvid.log import warn_once

logger = logging.getLogger(__name__)

VIDEO = ("video_id", "video", "path")  # columns of a csv
CAPTION = ("sentence", "caption", "text")
Position = int | str  # a line number, or a string by which the line of a json is searched
Captions = dict[str, list[tuple[str, Position]]]


@dataclass(frozen=True, repr=False)
class Captioned(Source):
    """Videos with captions, one video per row.

    Attributes:
      paths: path of the video of each row.
      captions: captions of each row. All rows have the same number; empty captions are padding.
      ids: name of each row.
      positions: line of the first caption of each row, or a string by which it is searched.
      origin: the file.
      labels, names: a single class for all rows, because only their texts distinguish them.
    """

    paths: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...]
    ids: tuple[str, ...]
    positions: tuple[Position, ...]
    origin: str
    labels: np.ndarray
    names: tuple[str, ...] = ("text",)

    def __getitem__(self, index: int) -> Sample:
        return {
            "path": self.paths[index],
            "captions": self.captions[index],
            "label": self.labels[index],
        }

    def id(self, index: int) -> str:
        return self.ids[index]

    def where(self, index: int) -> str:
        return f"{self.origin}:{_line(self.origin, self.positions[index])}"


def build(
    split: str,
    *,
    root: str,
    file: str,
    prefix: str = "",
    suffix: str = ".mp4",
    subset: str = "",
    keep: Natural = 0,
    paragraph: bool = False,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Captioned:
    """Read captions.

    In training, each caption is a row. Otherwise, each video is a row with all its captions.

    Args:
      split: "train", or the name of another split.
      root: folder that contains `file` and `prefix`.
      file: The captions, a json, csv or text file. "{split}" in its name stands for the name of the
        split.
      prefix: Folder of the videos.
      suffix: File extension that is added to names without the extension of a video.
      subset: Split in MSR-VTT's own file: "train", "validate" or "test".
      keep: Number of captions of a video that are used, from the first on. 0 uses all.
      paragraph: Join the captions of a video to one text, as usual for DiDeMo.
      names, num_classes: not used.

    Raises:
      UserError: the file does not exist or is invalid, such as with an empty caption or a video
        that is listed twice; the message has file and line.
    """
    del names, num_classes
    path = lists.file_of(root, file, split, "captions")
    text = lists.read_text(path)
    kinds = {".json": _json, ".csv": _table, ".tsv": _table}
    found: Captions = {}
    for video, caption, position in kinds.get(path.suffix.lower(), _lines)(path, text, subset):
        caption = caption.strip()
        if not video or not caption:
            what = f'"{video}" has an empty caption' if video else "the video has no name"
            raise UserError(f"{path}:{_line(path, position)}: {what}; remove it")
        found.setdefault(video, []).append((caption, position))
    if not found:
        raise UserError(f"{path}: there are no captions" + (f" of {subset}" if subset else ""))
    if keep:
        found = {video: captions[:keep] for video, captions in found.items()}
    if paragraph:
        joined = {v: " ".join(text for text, _ in captions) for v, captions in found.items()}
        found = {video: [(joined[video], captions[0][1])] for video, captions in found.items()}
    return _rows(found, Path(root, prefix), suffix, split == "train", str(path))


def _rows(found: Captions, folder: Path, suffix: str, single: bool, origin: str) -> Captioned:
    paths, captions, ids, positions = [], [], [], []
    most = 1 if single else max(map(len, found.values()))
    for video, texts in found.items():
        path = with_ending(str(folder / video), suffix)
        each = [[text] for text in texts] if single else [texts]
        for i, group in enumerate(each):
            paths.append(path)
            captions.append((*(caption for caption, _ in group), *[""] * (most - len(group))))
            ids.append(f"{path}#{i}" if i else path)
            positions.append(group[0][1])
    labels = np.zeros(len(paths), np.int32)
    return Captioned(tuple(paths), tuple(captions), tuple(ids), tuple(positions), origin, labels)


Found = Iterator[tuple[str, str, Position]]  # video, caption, position


def _json(path: Path, text: str, subset: str) -> Found:
    def twice(key):
        return f'{path}:{_line(path, key, last=True)}: "{key}" is listed twice; join its captions'

    content = lists.parse_json(text, path, twice)
    if isinstance(content, dict) and {"videos", "sentences"} <= content.keys():
        yield from _msrvtt(Entry(content, str(path)), path, subset)
        return
    if isinstance(content, list) and content and isinstance(content[0], dict):
        yield from _pairs(content, path)
        return
    if not isinstance(content, dict):
        raise UserError(
            f'{path}: expected {{"VIDEO": ["CAPTION", ...]}}, or the "videos" and "sentences" of'
            " MSR-VTT"
        )
    for video in content:
        here = Entry(content, f"{path}:{_line(path, video)}" if _odd(content[video]) else "")
        captions = here.items(video, '["CAPTION", ...], or the "videos" and "sentences" of MSR-VTT')
        if not captions:
            raise UserError(f'{here.where}: "{video}" has no captions; remove it')
        for caption in captions:
            if not isinstance(caption, str):
                raise here.wrong(video, "captions that are text")
            yield video, caption, video


def _pairs(content: list, path: Path) -> Found:
    """Yield the captions of a list of videos, each with a caption or several."""
    for number, values in enumerate(content):
        row = entry(values, f"{path}: [{number}]")
        captions = row.get("caption")
        for caption in captions if isinstance(captions, list) else [captions]:
            if not isinstance(caption, str):
                raise row.wrong("caption", "captions that are text")
            name = row.name("video")
            yield name, caption, caption if caption.strip() else name


def _odd(captions: Any) -> bool:
    """Return whether the value of a video in a json is not a list of captions."""
    return not captions or not isinstance(captions, list) or {*map(type, captions)} != {str}


def _msrvtt(content: Entry, path: Path, subset: str) -> Found:
    """Yield the captions of MSR-VTT's json.

    Warnings list videos without a caption, and captions without a video.
    """
    parts: dict[str, str] = {}
    for number, values in enumerate(content.items("videos")):
        video = entry(values, f"{path}: videos[{number}]")
        name = video.name("video_id")
        if name in parts:
            line = _line(path, video.values["video_id"], last=True)
            raise UserError(f'{path}:{line}: "{name}" is twice in "videos"')
        parts[name] = video.text("split") if subset else ""
    if subset and subset not in parts.values():
        raise UserError(
            f'{path}: no video of the subset "{subset}".{did_you_mean(subset, set(parts.values()))}'
        )
    silent = {name for name, part in parts.items() if part == subset}
    strange: list[str] = []
    for number, values in enumerate(content.items("sentences")):
        sentence = entry(values, f"{path}: sentences[{number}]")
        name = sentence.name("video_id")
        caption = sentence.get("caption")
        if not isinstance(caption, str):
            raise sentence.wrong("caption", "text")
        if name not in parts:
            strange.append(name)
        elif parts[name] == subset:
            silent.discard(name)
            yield name, caption, caption if caption else name
    if strange:
        warn_once(
            logger,
            f'{path}: {len(strange):,} "sentences" belong to a video that is not in "videos", such'
            f' as "{strange[0]}", and are left out',
        )
    if silent:
        warn_once(
            logger,
            f'{path}: {len(silent):,} "videos" have no sentence, such as "{min(silent)}", and are'
            " left out",
        )


def _line(path: str | Path, position: Position, last: bool = False) -> int:
    """Return the line of a position: for a string, its first or last line in the json."""
    if isinstance(position, int):
        return position
    rows = enumerate(lists.split_lines(lists.read_text(Path(path))), 1)
    forms = json.dumps(position), json.dumps(position, ensure_ascii=False)
    lines = [number for number, row in rows if any(form in row for form in forms)] or [1]
    return lines[-1 if last else 0]


def _table(path: Path, text: str, subset: str) -> Found:
    table = lists.rows(path, header=True)
    number, header = next(table, (1, []))
    header = [cell.lower() for cell in header]
    columns = [header.index(k) for kind in (VIDEO, CAPTION) for k in kind if k in header]
    if len(columns) != 2:
        raise UserError(
            f"{path}:{number}: the header needs a column {' or '.join(VIDEO)} and one"
            f" {' or '.join(CAPTION)}; it has {', '.join(header)}"
        )
    for number, cells in table:
        if len(cells) > len(header):
            raise UserError(
                f"{path}:{number}: {len(cells)} cells, but {len(header)} columns;"
                " quote captions that contain commas"
            )
        video, caption = (cells[i] if i < len(cells) else "" for i in columns)
        yield video, caption, number


def _lines(path: Path, text: str, subset: str) -> Found:
    for number, line in lists.lines(path):
        if video := lists.WORD.match(line):
            yield lists.unquoted(video), line[video.end() :], number
