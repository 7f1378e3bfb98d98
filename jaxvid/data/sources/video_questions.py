"""Questions about videos with open answers, as MSR-VTT-QA and MSVD-QA are prepared for VindLU.

`file` is a json, [{"video": "video7.mp4", "question": "what is a man doing", "answer": "sing"},
...], or a csv with the columns video (or video_id, path), question and answer. Several annotators
have several answers: a list in a json. `answers` is a json list of all answers that a model can
choose from.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxvid.data.annotations import lists
from jaxvid.data.annotations.entries import entry
from jaxvid.data.sample import Sample, Source
from jaxvid.data.sources.video_text import VIDEO
from jaxvid.data.text.answers import credits, normalized
from jaxvid.data.video.video_files import with_ending
from jaxvid.errors import UserError

Row = tuple[str, str, dict[str, float], str]  # video, question, answers with their shares, where


@dataclass(frozen=True, repr=False)
class Questions(Source):
    """Videos with a question, one question per row.

    Attributes:
      paths: path of the video of each row.
      questions: question of each row.
      answers: right answers of each row, each with the share of the annotators that gave it.
      places: place of each row in the file.
      origin: the file.
      labels: number of the commonest answer of each row in `names`; 0 if it is not among them.
      names: the answers that a model can choose from.
      forms: these, as the metric compares them.
    """

    paths: tuple[str, ...]
    questions: tuple[str, ...]
    answers: tuple[dict[str, float], ...]
    places: tuple[str, ...]
    origin: str
    labels: np.ndarray
    names: tuple[str, ...]
    forms: tuple[str, ...]

    def __getitem__(self, index: int) -> Sample:
        answers = self.answers[index]
        padding = max(map(len, self.answers)) - len(answers)
        shares = [*answers.values(), *[0.0] * padding]
        return {
            "path": self.paths[index],
            "question": self.questions[index],
            "answers": (*answers, *[""] * padding),
            "answer_weight": np.array(shares, np.float32),
            "candidates": self.names,
            "credit": credits(answers, self.names, self.forms),
            "label": self.labels[index],
        }

    def id(self, index: int) -> str:
        return f"{self.paths[index]}#{index}"

    def where(self, index: int) -> str:
        return self.places[index]


def build(
    split: str,
    *,
    root: str,
    file: str,
    answers: str = "",
    prefix: str = "",
    suffix: str = ".mp4",
    names: tuple[str, ...] = (),
    num_classes: int | None = None,
) -> Questions:
    """Read questions.

    Args:
      split: "train", or the name of another split.
      root: folder that contains `file`, `answers` and `prefix`.
      file: The questions, a json or csv file. "{split}" in its name stands for the name of the
        split.
      answers: A json list of the answers that a model chooses from. "" takes those of the file of
        the split "train".
      prefix: Folder of the videos.
      suffix: File extension that is added to names without the extension of a video.
      names: the answers that a model chooses from, if they are known already.
      num_classes: not used.

    Raises:
      UserError: a file does not exist or is invalid; the message has file and place.
    """
    del num_classes
    path = lists.file_of(root, file, split, "questions")
    rows = list(_rows(path))
    if not rows:
        raise UserError(f"{path}: there are no questions")
    names = names or _candidates(root, file, answers)
    numbers = {name: i for i, name in reversed(list(enumerate(names)))}
    labels = [numbers.get(max(found, key=found.__getitem__), 0) for _, _, found, _ in rows]
    videos, questions, right, places = zip(*rows, strict=True)
    folder = Path(root, prefix)
    return Questions(
        tuple(with_ending(str(folder / video), suffix) for video in videos),
        questions,
        right,
        places,
        str(path),
        np.array(labels, np.int32),
        names,
        tuple(map(normalized, names)),
    )


def _candidates(root: str, file: str, answers: str) -> tuple[str, ...]:
    """Return the answers that a model chooses from, each once."""
    if answers:
        path = lists.file_of(root, answers, "train", "answers", "answers")
        content = lists.parse_json(lists.read_text(path), path)
        if not isinstance(content, list | dict) or not content:
            raise UserError(f'{path}: expected a list of answers, ["ANSWER", ...]')
        for answer in content:
            if not isinstance(answer, str) or not answer.strip():
                raise UserError(f"{path}: {answer!r:.100} is no answer, which is a text")
        return tuple(dict.fromkeys(content))
    path = lists.file_of(root, file, "train", "questions")
    return tuple(sorted({answer for *_, found, _ in _rows(path) for answer in found}))


def _rows(path: Path) -> Iterator[Row]:
    """Yield the questions of a file."""
    for video, question, answers, where in _table(path) if lists.is_table(path) else _json(path):
        kinds = (("question", question), *(("answer", answer) for answer in answers))
        for kind, text in kinds:
            if not isinstance(text, str) or not text.strip():
                raise UserError(f"{where}: {text!r:.100} is no {kind}, which is a text")
        if not answers:
            raise UserError(f'{where}: "answer" is empty; remove the question')
        counts = Counter(answers)
        shares = {answer: count / len(answers) for answer, count in counts.items()}
        yield video, question, shares, where


def _json(path: Path) -> Iterator[tuple[str, str, list[str], str]]:
    content = lists.parse_json(lists.read_text(path), path)
    if not isinstance(content, list):
        raise UserError(
            f'{path}: expected [{{"video": "a.mp4", "question": "...", "answer": "..."}}, ...]'
        )
    for number, values in enumerate(content):
        row = entry(values, f"{path}: [{number}]")
        answers = row.get("answer")
        answers = answers if isinstance(answers, list) else [answers]
        yield row.name("video"), row.get("question"), answers, row.where


def _table(path: Path) -> Iterator[tuple[str, str, list[str], str]]:
    table = lists.rows(path, header=True)
    number, header = next(table, (1, []))
    header = [cell.lower() for cell in header]
    video = next((key for key in VIDEO if key in header), "")
    if not video or not {"question", "answer"} <= set(header):
        raise UserError(
            f"{path}:{number}: the header needs the columns video, question and answer; it has"
            f" {', '.join(header)}"
        )
    columns = [header.index(key) for key in (video, "question", "answer")]
    for number, cells in table:
        if len(cells) != len(header):
            raise UserError(
                f"{path}:{number}: {len(cells)} cells, but {len(header)} columns; quote texts that"
                " contain commas"
            )
        name, question, answer = (cells[i] for i in columns)
        yield name, question, [answer], f"{path}:{number}"
