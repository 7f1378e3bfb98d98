"""Sentences with times: formats, vocabulary, and bad input."""

import json

import numpy as np
import pytest

from jaxvid.data.annotations import feature_files
from jaxvid.data.recipes import grounding as recipe
from jaxvid.data.sources import grounding
from jaxvid.data.transforms.features import PoolParts
from jaxvid.data.transforms.words import NumberWords, read_vocabulary, split_words, vocabulary_of
from jaxvid.errors import UserError

TEXT = "a 1.0 4.5##a person opens a door.\nb 0.0 3.0##The person's dog, asleep\n"
ROWS = [
    dict(video="a", start=1.0, end=4.5, sentence="a person opens a door.", duration=9),
    dict(video="b", start=0.0, end=3.0, sentence="The person's dog, asleep", duration=3),
]
TABLE = (
    "video,start,end,sentence,duration\na,1,4.5,a person opens a door.,9\n"
    'b,0,3,"The person\'s dog, asleep",3\n'
)
CAPTIONS = {
    row["video"]: dict(
        duration=row["duration"],
        timestamps=[[row["start"], row["end"]]],
        sentences=[row["sentence"]],
    )
    for row in ROWS
}


def source(root, text, name="train.txt", **options):
    (root / name).write_text(text)
    if name.endswith(".txt"):
        (root / "seconds.json").write_text('{"a": 9, "b": "3.0"}')
        options = dict(durations="seconds.json") | options
    options = dict(features="f", suffix=".npy") | options
    return grounding.build("train", root=str(root), file=name, **options)


@pytest.mark.parametrize(
    "name,text",
    [
        ("train.txt", TEXT),
        ("train.csv", TABLE),
        ("train.json", json.dumps(ROWS)),
        ("train.json", json.dumps(CAPTIONS)),
    ],
    ids=["text", "csv", "rows", "captions"],
)
def test_formats(tmp_path, name, text):
    found = source(tmp_path, text, name)
    assert len(found) == 2
    assert found[1]["query"] == "The person's dog, asleep"
    np.testing.assert_array_equal(found[0]["segments"], [[1.0, 4.5]])
    assert found[1]["duration"] == found.durations.min() == 3.0
    assert found.longest == 9.0
    assert found.names[:2] == ("a", "person")
    assert found.labels.sum(1).tolist() == [4, 6]
    assert found.id(1) == "b#1"
    assert found.where(0).startswith(str(tmp_path / name))


def test_words():
    assert split_words("The person's laptop, opened.") == [
        "the",
        "person",
        "'s",
        "laptop",
        ",",
        "opened",
    ]
    assert split_words("Don't (semi-reclining)") == ["do", "n't", "(", "semi-reclining", ")"]
    assert vocabulary_of(["b a", "a c"]) == ("a", "b", "c")
    words = NumberWords(4)
    given = {"query": "the dog SITS", "vocabulary": ("dog", "sits")}
    np.testing.assert_array_equal(words(given, None)["query"], [1, 2, 0, 0])
    given["query"] = "dog dog dog dog sits"
    np.testing.assert_array_equal(words(given, None)["query"], [1, 1, 1, 1])
    for change, message in (
        ({"query": " "}, "give a query"),
        ({"query": "a cat"}, "none of the words"),
        ({"vocabulary": ()}, "vocabulary of these weights is not known"),
    ):
        with pytest.raises(UserError, match=message):
            words(given | change, None)


def test_a_vocabulary_in_a_file(tmp_path):
    path = tmp_path / "words.json"
    path.write_text('{"person": 2, "a": 1}')
    assert read_vocabulary(path) == ("a", "person")
    found = source(tmp_path, TEXT, vocabulary="words.json")
    assert found.names == ("a", "person")
    assert source(tmp_path, TEXT, vocabulary="words.json", names=("a", "dog")).names[1] == "dog"
    (tmp_path / "few.txt").write_text("door\n")
    with pytest.raises(UserError, match=r"train\.txt:2: the vocabulary has no word of"):
        source(tmp_path, TEXT, vocabulary="few.txt")
    for name, text, message in (
        ("gap.json", '{"a": 1, "b": 3}', "without gaps"),
        ("zero.json", '{"a": 0}', "a number from 1 on"),
        ("twice.txt", "a\nb\nA\n", '"a" is there twice'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=message):
            read_vocabulary(tmp_path / name)


@pytest.mark.parametrize(
    "name,text,message",
    [
        ("train.txt", "a 1.0##x\n", r'train\.txt:1: expected "VIDEO START END##SENTENCE"'),
        ("train.txt", "a 1.0 x##x\n", "expected"),
        ("train.txt", "a 4.0 1.0##x\n", "ends at 1 s, not after its start"),
        ("train.txt", "a 1.0 1.0##x\n", "not after its start"),
        ("train.txt", "a -2 1##x\n", "starts at -2 s, before the video"),
        ("train.txt", "a 1 99##x\n", "1 to 99 s is outside the video, 0 to 9 s"),
        ("train.txt", "c 1 2##x\n", r'train\.txt:1: how long is the video "c"'),
        ("train.txt", "a 1 2##  \n", "an empty sentence"),
        ("train.csv", "video,start,end\na,1,2\n", "header has no sentence"),
        ("train.csv", "video,start,end,sentence\na,1,2,x,y\n", "quote sentences"),
        ("train.csv", "video,start,end,sentence\na,1,z,x\n", r'csv:2: "end" is .z.'),
        ("train.json", '[{"video": "a", "start": 1, "end": 2}]', 'entry 0: no "sentence"'),
        ("train.json", '{"a": {"timestamps": [[1, 2]], "sentences": []}}', "1 timestamps, but 0"),
        ("train.json", '{"a": {"timestamps": [1], "sentences": ["x"]}}', "list of .start, end."),
        ("train.json", "3", "expected a list of"),
    ],
)
def test_bad_input_names_the_line(tmp_path, name, text, message):
    with pytest.raises(UserError, match=message):
        source(tmp_path, text, name)


def test_kept_parts_may_end_late_but_not_start_late(tmp_path):
    assert len(source(tmp_path, "a 1 99##x\n", outside="kept")) == 1
    with pytest.raises(UserError, match="10 to 99 s is outside"):
        source(tmp_path, "a 10 99##x\n", outside="kept")


def test_features_know_their_duration(tmp_path):
    (tmp_path / "f").mkdir()
    made = feature_files.Made("made up", 1, 1, every=1, fps=2.0, channels=3)
    for name, rows in (("a", 18), ("b", 6)):
        feature_files.write(tmp_path / "f" / f"{name}.npz", np.ones((rows, 3)), made)
    found = source(tmp_path, TEXT, durations="", suffix=".npz")
    assert found.durations.tolist() == [9.0, 3.0]
    assert found.about["features"]["backbone"] == "made up"
    sample = found[0]
    for transform in recipe.build("val", frames=4, length=8):
        sample = transform(sample, np.random.default_rng(0))
    shapes = {key: value.shape for key, value in sample.items()}
    assert shapes["feature"] == (4, 3) and shapes["position"] == (4, 2)
    assert shapes["query"] == (8,) and shapes["segments"] == (1, 2)


def test_parts_of_a_video():
    feature = np.arange(10.0)[:, None]
    found = PoolParts(4)({"feature": feature}, None)
    assert found["feature"].ravel().tolist() == [2, 5, 7, 9]
    np.testing.assert_allclose(found["position"][1], [0.25, 0.5])
    # As published: parts of 81 frames begin at frames 0, 20, 40, 60; a row is 8 frames.
    found = PoolParts(4)({"feature": feature, "frame_count": 81}, None)
    assert found["feature"].ravel().tolist() == [2, 5, 7, 9]
    np.testing.assert_allclose(found["position"][1], [20 / 81, 40 / 81])
    assert len(PoolParts(4)({"feature": feature[:1]}, None)["feature"]) == 4


def test_widths_are_compared(tmp_path):
    (tmp_path / "f").mkdir()
    for name, channels in (("a", 4), ("b", 3)):
        np.save(tmp_path / f"f/{name}.npy", np.zeros((9, channels), np.float32))
    with pytest.raises(UserError, match=r"b\.npy: 3 channels, but .*a\.npy has 4"):
        source(tmp_path, TEXT)
    np.save(tmp_path / "f/b.npy", np.zeros((9, 4), np.float32))
    assert source(tmp_path, TEXT).channels == 4
