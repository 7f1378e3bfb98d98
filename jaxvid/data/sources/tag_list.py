"""A json list of videos with tags of several categories, as MMAction2 writes it for HVU.

    [{"filename": "a.mp4", "label": {"scene": [17], "action": [3, 40]}}, ...]

Tags are numbered within their category. Folders of frames have "frame_dir" and "total_frames"
instead of "filename".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.config.values import Natural
from jaxvid.data.annotations import lists
from jaxvid.data.annotations.entries import Entry
from jaxvid.data.annotations.labels import by_category, ragged
from jaxvid.data.sources.frame_folders import FrameFolders
from jaxvid.data.sources.video_list import scanned
from jaxvid.errors import UserError, did_you_mean


@dataclass(frozen=True, repr=False)
class TagList(FrameFolders):
    """Videos or folders of frames with tags. The template is empty for videos."""

    def where(self, index: int) -> str:
        return f"{self.origin}[{int(index)}]"


def build(
    split: str,
    *,
    root: str,
    file: str,
    prefix: str = "",
    template: str = "img_{:05}.jpg",
    first: Natural | None = None,
    category_mask: bool = False,
    manifest: str = "",
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> TagList:
    """Read a list. Its samples are multi-label.

    Args:
      split: name of the split, for `file` and for messages.
      root: folder that contains `file` and `prefix`.
      file: The list, a json file. "{split}" in its name stands for the name of the split.
      prefix: Folder of the videos, or of the folders of frames.
      template: Pattern of the file names of frames in folders, such as "img_{:05}.jpg".
      first: Number of the first frame of a folder. None means 0 if a frame with this number exists,
        and 1 otherwise.
      category_mask: Mask the classes of a category if a sample has no label in this category (see
        video_list).
      manifest: Manifest of `python -m jaxvid.tools.scan`, relative to `root` (see video_list).
      names: "category/tag" for each class, such as those of config.data.names="hvu".

    Raises:
      UserError: the file does not exist, or an entry is invalid. The message has the file and the
        number of the entry, from 0.
    """
    path = lists.file_of(root, file, split, "list")
    if not names or not all("/" in name for name in names):
        raise UserError(
            f'{path}: tags need class names "category/tag", such as config.data.names="hvu"'
        )
    entries = _read(path)
    frames = "frame_dir" in entries[0]
    key, classes = "frame_dir" if frames else "filename", by_category(names)
    names_of_files, total, labels = [], [], []
    for index, values in enumerate(entries):
        entry = Entry(values, f"{path}[{index}]")
        names_of_files.append(entry.text(key, "the path of a video, or of a folder of frames"))
        if frames:
            total.append(entry.whole("total_frames", "a number of frames above 0", low=1))
        labels.append(_labels(entry.entry("label", '{"CATEGORY": [TAG ...]}'), classes))
    paths = [str(Path(root, prefix, name)) for name in names_of_files]
    facts = scanned(root, manifest, paths)
    if frames:
        facts["total"] = np.array(total, np.int32)
    return TagList(
        paths,
        ragged(labels, len(names)),
        tuple(names),
        str(path),
        **facts,
        category_mask=category_mask,
        template=template if frames else "",
        first=first,
    )


def _labels(tags: Entry, classes: Mapping[str, Sequence[int]]) -> list[int]:
    """Return the classes of the tags of an entry."""
    found = []
    for category, numbers in tags.values.items():
        if category not in classes:
            hint = did_you_mean(category, classes)
            raise UserError(f'{tags.where}: no such category: "{category}".{hint}')
        known = classes[category]
        if not isinstance(numbers, list) or not all(
            type(number) is int and 0 <= number < len(known) for number in numbers
        ):
            raise tags.wrong(category, f"a list of tags 0..{len(known) - 1}")
        found += [known[number] for number in numbers]
    return found


def _read(path: Path) -> list[dict[str, Any]]:
    entries = lists.parse_json(lists.read_text(path), path)
    if not entries or not isinstance(entries, list) or {dict} != {type(e) for e in entries}:
        raise UserError(f"{path}: expected [{{...}}, ...], a json object for each video")
    return entries
