"""The base classes of data sets with boxes of people in key frames, such as AVA.

Their lists are csv files with lines VIDEO,TIME,x1,y1,x2,y2,CLASS,PERSON, which
`jaxvid/data/sources/ava.py` reads. A built data set stores each video with the classes in it, and
with these lines as JSON.
"""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from data_prep import layout
from data_prep.clips import Annotated, Clip, Videos
from data_prep.video_builder import VideoBuilder
from jaxvid import pickles
from jaxvid.data.annotations.entries import entry
from jaxvid.data.annotations.lists import whole_number
from jaxvid.data.sources import multisports
from jaxvid.errors import UserError

Row = tuple[str, ...]  # the cells of a line


class BoxBuilder(VideoBuilder):
    """A builder whose clips have boxes.

    Attributes:
      first_class: number of the first class in the csv files.
    """

    multi_label = True
    first_class = 1

    @cached_property
    def content(self):
        return Annotated(Videos())

    def annotated(self, folder: Path, path: str, rows: Iterable[Row], where: object) -> Clip:
        """Return the clip of a video with these rows of a csv.

        Args:
          where: the file of the rows, for the message.

        Raises:
          UserError: a class is no number of a class.
        """
        rows, labels = list(rows), dict[int, None]()
        for row in rows:
            number = whole_number(row[6])
            if number is None or not 0 <= number - self.first_class < len(self.names):
                last = len(self.names) - 1 + self.first_class
                raise UserError(
                    f'{where}: class "{row[6]}" of {row[0]},{row[1]} is outside'
                    f" {self.first_class}..{last}"
                )
            labels[number - self.first_class] = None
        return Clip(str(folder), path, tuple(labels), annotation=json.dumps({"boxes": rows}))

    def list_text(self, name, clips, counts):
        del name, counts
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        for clip in clips:
            table.writerows(json.loads(clip.annotation)["boxes"])
        return text.getvalue()


def by_video(path: Path) -> dict[str, list[Row]]:
    """Return the rows of a csv with boxes by video. Rows without a box are left out."""
    found: dict[str, list[Row]] = {}
    for row in layout.table(path):
        if len(row) >= 7:
            found.setdefault(row[0], []).append(tuple(row))
    return found


class TubeBuilder(BoxBuilder):
    """A builder whose boxes are tubes in a pickle, see `jaxvid/data/sources/multisports.py`.

    Attributes:
      pickle: places of the pickle.
      folders: places of the videos.
      suffix: extension of videos that are missing.
      stem: beginning of the names of the lists.
    """

    pickle: tuple[str, ...]
    folders: tuple[str, ...]
    suffix: str
    stem: str
    first_class = 0

    @property
    def part(self) -> int:
        """Return the number of the official split in the pickle, from 0."""
        return 0

    def clips(self, source: Path) -> dict[str, list[Clip]]:
        path = layout.first_existing(source, *self.pickle)
        about = entry(pickles.load(path.read_bytes(), str(path)), str(path))
        folder = layout.first_existing(source, *self.folders)
        names = about.items("labels", "a list of class names")
        numbers = {number: self.label(name) for number, name in enumerate(names)}
        found = {os.path.splitext(path)[0]: path for path in layout.below(folder)}
        clips: dict[str, list[Clip]] = {}
        for split, key in (("train", "train_videos"), ("val", "test_videos")):
            clips[split] = []
            lists = about.items(key, "a list of lists of videos")
            if self.part >= len(lists):
                raise UserError(f'{path}: "{key}" has {len(lists)} lists, no {self.part + 1}')
            for video in lists[self.part]:
                file = found.get(video) or f"{video}{self.suffix}"
                tubes = multisports.read_tubes(about, video, len(names))
                clips[split].append(self.annotated(folder, file, _rows(tubes, file, numbers), path))
        return clips

    def list_files(self, split, kind, clips):
        if kind == "rawframes":
            return {f"{self.stem}_{split}_rawframes.txt": clips}
        return {
            f"{self.stem}_{split}.csv": clips,
            f"{self.stem}_{split}_videos.txt": clips,
        }

    def list_text(self, name, clips, counts):
        if name.endswith(".txt"):
            return VideoBuilder.list_text(self, name, clips, counts)
        return super().list_text(name, clips, counts)


def _rows(
    tubes: Iterable[multisports.Tube], file: str, numbers: Mapping[int, int]
) -> Iterable[Row]:
    """Yield a row of a csv for each box of the tubes of a video."""
    for person, (label, frames, boxes) in enumerate(tubes):
        for frame, box in zip(frames, np.round(boxes, 5).tolist(), strict=True):
            corners = (f"{corner:g}" for corner in box)
            yield (file, f"{int(frame)}", *corners, str(numbers[label]), str(person))
