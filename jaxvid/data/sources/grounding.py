"""Sentences that describe parts of untrimmed videos, with the start and end of each in seconds.

The file extension and the content determine the format:
  csv,   one sentence per row, with a header that contains `video`, `start`, `end` and `sentence`,
  tsv    and optionally `duration`, the seconds of the video
  json   a list of such rows, [{"video": "a", "start": 1.0, "end": 4.5, "sentence": "..."}], or the
         format of ActivityNet Captions, {"a": {"duration": 9.5, "timestamps": [[1.0, 4.5]],
         "sentences": ["..."]}}
  other  one sentence per line, `a 1.0 4.5##a person opens a door.`, the format of Charades-STA

The features of a video are a file with its name (see `data/annotations/feature_files.py`). The
words of the sentences are the class names of the data, so a checkpoint contains its vocabulary.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxvid import errors
from jaxvid.data.annotations import lists
from jaxvid.data.annotations.entries import POSITIVE, Entry, entry, is_number, is_numeric
from jaxvid.data.annotations.feature_checks import inspect_features, width
from jaxvid.data.sample import Sample, Source
from jaxvid.data.sources.activitynet import SLACK
from jaxvid.data.transforms.words import numbers, read_vocabulary, split_words, vocabulary_of
from jaxvid.errors import UserError

LINE = re.compile(r"(\S+)\s+(\S+)\s+(\S+?)\s*##(.*)")
COLUMNS = ("video", "start", "end", "sentence")
EXPECTED = 'a list of {"video", "start", "end", "sentence"}, or {"VIDEO": {"timestamps", ...}}'


class Row(NamedTuple):
    """One sentence: its video, start and end in seconds, its place, the seconds of the video."""

    video: str
    start: float
    end: float
    sentence: str
    where: str
    duration: float = float("nan")


@dataclass(frozen=True, repr=False)
class Grounded(Source):
    """Sentences and the parts of videos that they describe, one sentence per row.

    Attributes:
      rows: the sentences.
      paths: feature file of the video of each row.
      durations: float64 (n,), seconds that the features cover.
      frame_counts: number of frames of each video by name, if it is known.
      labels: int8 (n, words), 1 for each word of a sentence.
      names: the vocabulary.
      origin, about: see `data/sample.py`.
    """

    rows: tuple[Row, ...]
    paths: tuple[str, ...]
    durations: np.ndarray
    frame_counts: Mapping[str, int]
    labels: np.ndarray
    names: tuple[str, ...]
    origin: str
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def longest(self) -> float:
        return float(self.durations.max())

    @property
    def channels(self) -> int:
        return width(self.paths)

    def __getitem__(self, index: int) -> Sample:
        row = self.rows[index]
        count = self.frame_counts.get(row.video)
        return {
            "path": self.paths[index],
            "duration": self.durations[index],
            "segments": np.array([[row.start, row.end]], np.float32),
            "segment_label": np.zeros(1, np.int32),
            "query": row.sentence,
            "vocabulary": self.names,
        } | ({"frame_count": count} if count else {})

    def id(self, index: int) -> str:
        return f"{self.rows[index].video}#{index}"

    def where(self, index: int) -> str:
        return self.rows[index].where


def build(
    split: str,
    *,
    root: str,
    file: str,
    features: str,
    suffix: str = ".npz",
    durations: str = "",
    frame_counts: str = "",
    vocabulary: str = "",
    outside: Literal["error", "kept"] = "error",
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Grounded:
    """Read the sentences of one split, and the settings of the features.

    Args:
      split: "train", "val" or "test".
      root: folder that contains the files.
      file: The sentences, a text, csv or json file. "{split}" in its name stands for the name of
        the split.
      features: Folder of the feature files. The features of a video are in `features/NAME +
        SUFFIX`.
      suffix: File extension of the feature files: .csv, .npy or .npz.
      durations: A json file {"VIDEO": SECONDS}. Features in .npz know their duration.
      frame_counts: A json file {"VIDEO": NUMBER OF FRAMES}, for the parts of videos as published.
      vocabulary: A json file {"WORD": NUMBER} with numbers from 1 on, or a text file with one word
        per line. "" takes the words of the training.
      outside: What is done with a part that ends after its video. "error" raises an error. "kept"
        shortens it, as published.
      names: words of a checkpoint, which replace `vocabulary`.
      num_classes: not used.

    Raises:
      UserError: a file does not exist, or annotations are invalid; the message lists them, each
        with its line.
    """
    del num_classes
    path = lists.file_of(root, file, split, "sentences")
    rows = tuple(read_rows(path))
    if not rows:
        raise UserError(f"{path}: there are no sentences in it")
    if problems := list(find_problems(rows)):
        raise errors.problems("the data has problems:", problems)
    known = _numbers_by_video(Path(root, durations), "seconds") if durations else {}
    counts = _numbers_by_video(Path(root, frame_counts), "frames") if frame_counts else {}
    seconds = {row.video: known.get(row.video, row.duration) for row in rows}
    videos = tuple(seconds)
    paths = {video: str(Path(root, features, video + suffix)) for video in videos}
    found = np.array([seconds[video] for video in videos])
    about, found = inspect_features(tuple(paths.values()), found, path)
    seconds = dict(zip(videos, found.tolist(), strict=True))
    if problems := list(find_outside(rows, seconds, outside)):
        raise errors.problems("the data has problems:", problems)
    names = names or (read_vocabulary(Path(root, vocabulary)) if vocabulary else ())
    names = names or vocabulary_of(row.sentence for row in rows)
    number, labels = numbers(names), np.zeros((len(rows), len(names)), np.int8)
    for i, row in enumerate(rows):
        labels[i, [number[w] - 1 for w in split_words(row.sentence) if w in number]] = 1
    if len(unknown := np.flatnonzero(~labels.any(1))):
        lines = [
            f'{rows[i].where}: the vocabulary has no word of "{rows[i].sentence}"' for i in unknown
        ]
        raise errors.problems("the data has problems:", lines)
    return Grounded(
        rows,
        tuple(paths[row.video] for row in rows),
        np.array([seconds[row.video] for row in rows]),
        {video: int(count) for video, count in counts.items()},
        labels,
        names,
        str(path),
        about,
    )


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the sentences of a file.

    Raises:
      UserError: a line or an entry is not as expected.
    """
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        yield from _table(path)
    elif suffix == ".json":
        yield from _json(path)
    else:
        for number, line in lists.lines(path):
            where = f"{path}:{number}"
            match = LINE.fullmatch(line)
            if not match or not all(map(is_numeric, match.group(2, 3))):
                raise UserError(f'{where}: expected "VIDEO START END##SENTENCE", not "{line}"')
            video, start, end, sentence = match.groups()
            yield Row(video, float(start), float(end), sentence.strip(), where)


def _table(path: Path) -> Iterator[Row]:
    table = lists.rows(path, header=True)
    number, header = next(table, (1, []))
    header = [cell.strip().lower() for cell in header]
    if lacking := [column for column in COLUMNS if column not in header]:
        raise UserError(
            f"{path}:{number}: the header has no {', '.join(lacking)}; it needs"
            f" {', '.join(COLUMNS)}"
        )
    for number, cells in table:
        if len(cells) != len(header):
            raise UserError(
                f"{path}:{number}: {len(cells)} cells, but {len(header)} columns; quote sentences"
                " that contain commas"
            )
        values: dict[str, Any] = dict(zip(header, cells, strict=True))
        for key in ("start", "end", "duration"):
            if is_numeric(values.get(key, "")):
                values[key] = float(values[key])
        yield _row(Entry(values, f"{path}:{number}"))


def _json(path: Path) -> Iterator[Row]:
    content = lists.parse_json(lists.read_text(path), path)
    if isinstance(content, list):
        for number, values in enumerate(content):
            yield _row(entry(values, f"{path}: entry {number}"))
        return
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected {EXPECTED}")
    for video, values in content.items():
        own = entry(values, f'{path}: video "{video}"')
        times, sentences = own.items("timestamps"), own.items("sentences")
        if len(times) != len(sentences):
            raise UserError(f"{own.where}: {len(times)} timestamps, but {len(sentences)} sentences")
        for number, (time, sentence) in enumerate(zip(times, sentences, strict=True)):
            if not isinstance(time, list) or [*map(is_number, time)] != [True, True]:
                raise own.wrong("timestamps", "a list of [start, end] in seconds")
            values = dict(video=video, start=time[0], end=time[1], sentence=sentence)
            values |= {"duration": own.values["duration"]} if "duration" in own.values else {}
            yield _row(Entry(values, f"{own.where}, sentence {number}"))


def _row(values: Entry) -> Row:
    duration = float("nan")
    if values.values.get("duration", "") != "":
        duration = values.number("duration", "seconds above 0", low=POSITIVE)
    start, end = (values.number(key, "seconds") for key in ("start", "end"))
    sentence = values.text("sentence", "a sentence")
    return Row(values.name("video"), start, end, sentence, values.where, duration)


def find_problems(rows: tuple[Row, ...]) -> Iterator[str]:
    """Yield one line for each sentence without words, or whose part has no length."""
    for row in rows:
        if not split_words(row.sentence):
            yield f"{row.where}: an empty sentence; remove it"
        if row.end <= row.start:
            yield f"{row.where}: it ends at {row.end:g} s, not after its start ({row.start:g} s)"
        elif row.start < -SLACK:
            yield f"{row.where}: it starts at {row.start:g} s, before the video"


def find_outside(
    rows: tuple[Row, ...], seconds: Mapping[str, float], outside: str
) -> Iterator[str]:
    """Yield one line for each video of unknown duration, and each part outside of its video."""
    for row in {row.video: row for row in rows}.values():
        if not seconds[row.video] > 0:
            yield (
                f'{row.where}: how long is the video "{row.video}"? Give its duration in the file,'
                " or all of them in config.data.SPLIT.durations"
            )
    for row in rows:
        second = seconds[row.video]
        late = row.end > second + SLACK if outside == "error" else row.start >= second
        if late:
            yield (
                f"{row.where}: {row.start:g} to {row.end:g} s is outside the video, 0 to"
                f" {second:g} s; correct it, or"
                + (' keep such parts with outside="kept"' if outside == "error" else " remove it")
            )


def _numbers_by_video(path: Path, what: str) -> dict[str, float]:
    if not path.is_file():
        raise UserError(f"{path}: no such file of the {what} of videos")
    content = entry(
        lists.parse_json(lists.read_text(path), path), str(path), f'{{"VIDEO": {what}}}'
    )
    found = {}
    for video, value in content.values.items():
        given = {video: float(value) if isinstance(value, str) and is_numeric(value) else value}
        found[video] = Entry(given, str(path)).number(video, f"{what} above 0", low=POSITIVE)
    return found
