"""Questions and choices about videos: their files, the answers to choose from, and bad input."""

import json

import numpy as np
import pytest

from jaxvid.data.sources import video_choices, video_questions
from jaxvid.errors import UserError

ROW = {"video": "a.mp4", "question": "What?", "answer": "sing"}
CHOICE = {"video": "a", "caption": ["x", "y"], "answer": 1}


def asked(folder, rows, **options):
    for split in ("train", "val"):
        (folder / f"{split}.json").write_text(json.dumps(rows))
    return video_questions.build("val", root=str(folder), file="{split}.json", **options)


def chosen(folder, rows):
    (folder / "mc.json").write_text(json.dumps(rows))
    return video_choices.build("val", root=str(folder), file="mc.json", prefix="v")


def test_a_question_has_shares_of_its_answers_and_credits_of_the_candidates(tmp_path):
    several = {**ROW, "answer": ["Dance", "sing", "dance a", "sing"]}
    (tmp_path / "list.json").write_text(json.dumps(["dance", "sing", "run"]))
    source = asked(tmp_path, [ROW, several], answers="list.json", prefix="videos")
    assert source.names == ("dance", "sing", "run") and source.labels.tolist() == [1, 1]
    first, second = source[0], source[1]
    assert first["path"].endswith("videos/a.mp4") and first["answers"] == ("sing", "", "")
    assert second["answers"] == ("Dance", "sing", "dance a")
    assert second["answer_weight"].tolist() == [0.25, 0.5, 0.25]
    np.testing.assert_allclose(second["credit"], [1, 1, 0])
    assert asked(tmp_path, [ROW, several]).names == ("Dance", "dance a", "sing")


def test_a_table_has_the_same_questions(tmp_path):
    (tmp_path / "q.csv").write_text('video,question,answer\na.mp4,"What, now?",sing\n')
    source = video_questions.build("train", root=str(tmp_path), file="q.csv")
    assert source.questions == ("What, now?",) and source.where(0).endswith("q.csv:2")


@pytest.mark.parametrize(
    "rows,message",
    [
        ({}, r"expected \[\{"),
        ([], "there are no questions"),
        ([{"video": "a"}], r"\[0\]"),
        ([{**ROW, "question": " "}], r"\[0\]: ' ' is no question"),
        ([ROW, {**ROW, "answer": 3}], r"\[1\]: 3 is no answer"),
        ([{**ROW, "answer": []}], "remove the question"),
    ],
)
def test_wrong_questions_are_one_line(tmp_path, rows, message):
    with pytest.raises(UserError, match=message):
        asked(tmp_path, rows)


def test_choices(tmp_path):
    source = chosen(tmp_path, [CHOICE, {**CHOICE, "answer": 0}])
    assert source.labels.tolist() == [1, 0] and source[0]["captions"] == ("x", "y")
    assert source[0]["path"].endswith("v/a.mp4") and len(source.names) == 2


@pytest.mark.parametrize(
    "rows,message",
    [
        ([], "expected"),
        ([{**CHOICE, "answer": 2}], "answer.*0 to 1"),
        ([{**CHOICE, "answer": True}], "answer.*0 to 1"),
        ([CHOICE, {**CHOICE, "caption": ["x"]}], r"\[1\]: 1 captions"),
        ([{**CHOICE, "caption": ["x", ""]}], "captions that are text"),
    ],
)
def test_wrong_choices_are_one_line(tmp_path, rows, message):
    with pytest.raises(UserError, match=message):
        chosen(tmp_path, rows)
