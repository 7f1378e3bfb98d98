"""Videos and what was written about them: MSR-VTT, MSVD and lists of captions.

By the file's ending and content:
  json   {"video7.mp4": ["a man sings", ...]}, as MMAction2 prepares MSR-VTT and MSVD
         {"videos": [{"video_id", "split"}], "sentences": [{"video_id", "caption"}]}, MSR-VTT's own
  csv    a row a caption, with a header that names `video_id` (or video, path) and `sentence` (or
         caption, text), as those of MSR-VTT's test sets
  else   a line a caption, `video7 a man sings`, as MSVD's own; lines that start with # are left out
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.data import annotations
from jaxvid.data.files import with_ending
from jaxvid.data.sample import Sample
from jaxvid.errors import UserError

VIDEO = ("video_id", "video", "path")  # columns of a csv
CAPTION = ("sentence", "caption", "text")
Place = int | str  # a line, or what to look for in a json once the line is asked for
Captions = dict[str, list[tuple[str, Place]]]


@dataclass(frozen=True, repr=False)
class Captioned:
    """Rows of one video with captions.

    Attributes:
      paths: one a row.
      captions: of each row; as many everywhere, filled up with empty ones.
      ids: a name for each row.
      places: of each row's first caption.
      origin: the file.
    """

    paths: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...]
    ids: tuple[str, ...]
    places: tuple[Place, ...]
    origin: str

    @property
    def names(self) -> tuple[str, ...]:
        """All samples are of one class: what tells them apart is their text."""
        return ("text",)

    @property
    def labels(self) -> np.ndarray:
        return np.zeros(len(self), np.int32)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        return {
            "path": self.paths[index],
            "captions": self.captions[index],
            "label": np.int32(0),
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.origin}, {len(self)})"

    def id(self, index: int) -> str:
        return self.ids[index]

    def where(self, index: int) -> str:
        return f"{self.origin}:{_line(self.origin, self.places[index])}"


def build(
    split: str,
    *,
    root: str,
    file: str,
    prefix: str = "",
    suffix: str = ".mp4",
    subset: str = "",
    keep: int = 0,
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Captioned:
    """Read captions: in training a row for each of them, else a row for each video with all.

    Args:
      split: "train", or another.
      root: folder that `file` and `prefix` lie in.
      file: the captions.
      prefix: folder of the videos.
      suffix: added to videos without the ending of one.
      subset: of MSR-VTT's own file, "train", "validate" or "test".
      keep: captions of a video that count, the first ones; 0: all.
      names, num_classes: of no use here.

    Raises:
      UserError: no such file, or what cannot be read, such as an empty caption or a video that is
        listed twice; it names file and line.
    """
    del names, num_classes
    path = annotations.find(root, file, split, "captions")
    text = annotations.read_text(path)
    kinds = {".json": _json, ".csv": _csv}
    found: Captions = {}
    for video, caption, place in kinds.get(path.suffix.lower(), _lines)(path, text, subset):
        caption = caption.strip() if isinstance(caption, str) else ""
        if not caption:
            line = _line(path, place)
            raise UserError(f'{path}:{line}: "{video}" has an empty caption; remove it')
        found.setdefault(video, []).append((caption, place))
    if not found:
        raise UserError(f"{path}: there are no captions" + (f" of {subset}" if subset else ""))
    if keep:
        found = {video: captions[:keep] for video, captions in found.items()}
    return _rows(found, Path(root, prefix), suffix, split == "train", str(path))


def _rows(found: Captions, folder: Path, suffix: str, single: bool, origin: str) -> Captioned:
    paths, captions, ids, places = [], [], [], []
    most = 1 if single else max(map(len, found.values()))
    for video, texts in found.items():
        path = with_ending(str(folder / video), suffix)
        each = [[text] for text in texts] if single else [texts]
        for i, group in enumerate(each):
            paths.append(path)
            captions.append((*(caption for caption, _ in group), *[""] * (most - len(group))))
            ids.append(f"{path}#{i}" if i else path)
            places.append(group[0][1])
    return Captioned(tuple(paths), tuple(captions), tuple(ids), tuple(places), origin)


Found = Iterator[tuple[str, Any, Place]]  # video, caption


def _json(path: Path, text: str, subset: str) -> Found:
    def twice(key):
        return f'{path}:{_line(path, key, last=True)}: "{key}" is listed twice; join its captions'

    content = annotations.parse_json(text, path, twice)
    if isinstance(content, dict) and {"videos", "sentences"} <= content.keys():
        kept = {v["video_id"] for v in content["videos"] if subset in ("", v.get("split"))}
        seen: set[str] = set()
        for video in (v["video_id"] for v in content["videos"]):
            if video in seen:
                line = _line(path, video, last=True)
                raise UserError(f'{path}:{line}: "{video}" is twice in "videos"')
            seen.add(video)
        for sentence in content["sentences"]:
            if sentence["video_id"] in kept:
                video, caption = sentence["video_id"], sentence["caption"]
                yield video, caption, caption if caption else video
        return
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise UserError(
            f'{path}: expected {{"VIDEO": ["CAPTION", ...]}}, or the "videos" and "sentences" of'
            " MSR-VTT"
        )
    for video, captions in content.items():
        if not captions:
            raise UserError(f'{path}:{_line(path, video)}: "{video}" has no captions; remove it')
        for caption in captions:
            yield video, caption, video


def _line(path: str | Path, place: Place, last: bool = False) -> int:
    """A line, or that in which a string of a json stands first, or last."""
    if isinstance(place, int):
        return place
    rows = enumerate(Path(path).read_text(encoding="utf-8-sig").splitlines(), 1)
    forms = json.dumps(place), json.dumps(place, ensure_ascii=False)
    lines = [number for number, row in rows if any(form in row for form in forms)] or [1]
    return lines[-1 if last else 0]


def _csv(path: Path, text: str, subset: str) -> Found:
    table = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        header = [cell.strip().lower() for cell in next(table, [])]
        places = [header.index(k) for kind in (VIDEO, CAPTION) for k in kind if k in header]
        if len(places) != 2:
            raise UserError(
                f"{path}:1: the header needs a column {' or '.join(VIDEO)} and one"
                f" {' or '.join(CAPTION)}; it has {', '.join(header)}"
            )
        for cells in table:
            if cells and len(cells) != len(header):
                raise UserError(
                    f"{path}:{table.line_num}: {len(cells)} cells, but {len(header)} columns;"
                    " quote captions that hold commas"
                )
            if cells:
                yield cells[places[0]].strip(), cells[places[1]], table.line_num
    except csv.Error as error:
        raise UserError(f"{path}:{table.line_num}: {error}") from None


def _lines(path: Path, text: str, subset: str) -> Found:
    for number, line in enumerate(text.splitlines(), 1):
        video, _, caption = line.strip().partition(" ")
        if video and not video.startswith("#"):
            yield video, caption, number
