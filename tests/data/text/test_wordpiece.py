"""Token ids of BERT, which are those of transformers' BertTokenizer with VindLU's changes."""

import numpy as np
import pytest

from jaxvid.data.recipes import video_language
from jaxvid.data.text import wordpiece
from jaxvid.data.transforms.questions import TokenizeQuestions
from jaxvid.data.transforms.text import Tokenize
from jaxvid.errors import UserError

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "run", "##ning"]
PIECES += ["the", "cat", "!", "'", "-", "cafe", "中", "what"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text,want",
    [
        ("Unaffable running, the CAT!", "un ##aff ##able run ##ning [UNK] the cat !"),
        ("Café 中the\tcat-cat", "cafe 中 the cat - cat"),
        ("running [SEP]", "run ##ning [SEP]"),
        ("runs \x00the [sep]", "[UNK] the [UNK] [UNK] [UNK]"),
        ("run" + "ning" * 40, "[UNK]"),
        ("", ""),
    ],
)
def test_a_text_is_the_longest_pieces_of_its_words(file, text, want):
    ids = wordpiece.read(file).encode(text)
    assert [PIECES[i] for i in ids] == want.split()


def test_a_text_begins_with_a_start_token_and_has_no_end_token(file):
    words = wordpiece.read(file)
    assert words.tokenize("the cat", 5).tolist() == [2, 10, 11, 0, 0]
    assert words.tokenize("the cat the cat", 3).tolist() == [2, 10, 11]
    with pytest.raises(UserError, match="no room"):
        words.tokenize("the", 1)


def test_captions_have_no_punctuation_and_answers_an_end_token(file):
    rng = np.random.default_rng(0)
    captions = Tokenize(6, vocabulary=str(file))({"captions": ("The cat's RUN!", "")}, rng)
    assert captions["text"].tolist() == [[2, 10, 1, 8, 0, 0], [0] * 6]
    ask = TokenizeQuestions(str(file), 4, 3)
    sample = {"question": "What?", "answers": ("cat", ""), "candidates": ("run", "the cat run")}
    got = ask(sample, rng)
    assert got["question"].tolist() == [[2, 17, 0, 0]]
    assert got["answer"].tolist() == [[2, 11, 3], [0, 0, 0]]
    assert got["candidates"].tolist() == [[2, 8, 3], [2, 10, 11]]
    assert "candidates" not in TokenizeQuestions(str(file), 4, 3, False)(sample, rng)


def test_plain_text_is_that_of_the_published_annotations():
    assert wordpiece.plain(' "Hi", <person>-to/go   NOW!\n') == "hi person to go now"


def test_a_missing_or_wrong_vocabulary_is_one_line(tmp_path, monkeypatch, file):
    with pytest.raises(UserError, match=r"vocab.txt.*no such file.*google-bert/bert-base-uncased"):
        Tokenize(5, vocabulary=video_language.VOCABULARY)({"captions": ("x",)}, None)
    monkeypatch.setenv("JAXVID_WEIGHTS_DIR", str(file.parent))
    Tokenize(5, vocabulary="vocab.txt")({"captions": ("x",)}, None)
    for content, message in (("a\nb\n", r"\[UNK\] among"), ("x\n[UNK]\n[CLS]\n[SEP]\n", "first")):
        (tmp_path / "other.txt").write_text(content)
        with pytest.raises(UserError, match=message):
            wordpiece.read.__wrapped__(tmp_path / "other.txt")
