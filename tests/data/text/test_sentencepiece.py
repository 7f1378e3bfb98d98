"""Vocabularies of SentencePiece: both formats of files, and the pieces of a text by slow rules."""

import functools
import itertools
import json
import struct

import numpy as np
import pytest

from jaxvid.data.text import sentencepiece
from jaxvid.data.text.sentencepiece import BYTE, BYTE_PAIRS, CONTROL, NORMAL, UNIGRAM, UNKNOWN
from jaxvid.data.transforms.text import Tokenize
from jaxvid.errors import UserError

WORDS = ("\u2581", "a", "b", "n", "an", "ban", "ana", "\u2581ban", "\u2581b", "na")
UNIGRAMS = (
    ("<unk>", 0.0, UNKNOWN),
    ("</s>", 0.0, CONTROL),
    *((word, -1.5 - 0.37 * i, NORMAL) for i, word in enumerate(WORDS)),
)
PAIRS = (
    ("<pad>", 0.0, CONTROL),
    ("<eos>", 0.0, CONTROL),
    ("<unk>", 0.0, UNKNOWN),
    *((f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)),
    *((word, -float(i), NORMAL) for i, word in enumerate(WORDS)),
)


def varint(n):
    return bytes([n & 127 | 128]) + varint(n >> 7) if n > 127 else bytes([n])


def block(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def message(pieces, kind, prefix):
    """Return the bytes of a vocabulary, as SentencePiece writes them."""
    content = b""
    for piece, score, of in pieces:
        value = block(1, piece.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score)
        content += block(1, value + (varint(3 << 3) + varint(of) if of != NORMAL else b""))
    content += block(2, varint(3 << 3) + varint(kind))
    return content + block(3, block(1, b"nmt_nfkc") + varint(3 << 3) + varint(int(prefix)))


def spell(ids, pieces):
    return [pieces[i][0] for i in ids]


@pytest.fixture
def unigrams(tmp_path):
    path = tmp_path / "spiece.model"
    path.write_bytes(message(UNIGRAMS, UNIGRAM, True))
    return sentencepiece.read(path)


def test_a_unigram_model_takes_the_pieces_with_the_largest_sum(unigrams):
    scores = {piece: score for piece, score, _ in UNIGRAMS[2:]}
    for text in ("bananab", "nab", "anaban banana"):
        normal = unigrams.normalize(text)
        assert normal == "\u2581" + text.replace(" ", "\u2581")
        ways = []
        for cuts in itertools.product((0, 1), repeat=len(normal) - 1):
            ends = [i + 1 for i, cut in enumerate(cuts) if cut] + [len(normal)]
            parts = [normal[i:j] for i, j in itertools.pairwise([0, *ends])]
            if set(parts) <= scores.keys():
                ways.append((sum(map(scores.__getitem__, parts)), parts))
        assert spell(unigrams.encode(normal), UNIGRAMS) == max(ways)[1]


def test_unknown_neighbors_are_one_token(unigrams):
    assert spell(unigrams.encode("anxyzb"), UNIGRAMS) == ["an", "<unk>", "b"]


def test_texts_of_a_unigram_model_have_no_capitals_and_no_punctuation(unigrams):
    assert unigrams.normalize("  A ban,\n b! ") == "\u2581a\u2581ban\u2581b"
    row = unigrams.tokenize("Ban", 4)
    assert row.dtype == np.int32
    assert row.tolist() == [UNIGRAMS.index(("\u2581ban", row_score("\u2581ban"), NORMAL)), 1, 0, 0]
    assert unigrams.tokenize("nnnnnn", 3)[-1] == 1  # a long text keeps its end


def test_a_text_can_be_a_sentence_with_a_period_instead_of_an_end_token(unigrams):
    assert unigrams.sentence(" A ban,na-B! ") == "\u2581a\u2581ban\u2581na\u2581b."
    ban = UNIGRAMS.index(("\u2581ban", row_score("\u2581ban"), NORMAL))
    unknown = next(i for i, (*_, kind) in enumerate(UNIGRAMS) if kind == UNKNOWN)
    assert unigrams.tokenize("Ban", 4, sentence=True).tolist() == [ban, unknown, 0, 0]  # no period


def row_score(word):
    return -1.5 - 0.37 * WORDS.index(word)


def test_a_model_of_byte_pairs_joins_the_best_neighbors_first():
    model = sentencepiece.Vocabulary(PAIRS, BYTE_PAIRS, False)
    assert model.normalize("Ban ana") == "ban\u2581ana"
    # "an" is better than "ban", "na" and "ana".
    assert spell(model.encode("banana"), PAIRS) == ["ban", "ana"]
    assert spell(model.encode("an\u00e9"), PAIRS) == ["an", "<0xC3>", "<0xA9>"]


def test_symbols_of_the_user_are_never_divided():
    pieces = (*PAIRS, ("<b>", 0.0, sentencepiece.USER_DEFINED))
    model = sentencepiece.Vocabulary(pieces, BYTE_PAIRS, False)
    assert spell(model.encode("an<b>an"), pieces) == ["an", "<b>", "an"]


def write_json(path, pieces, model):
    own = [p for p, _, kind in pieces if kind == CONTROL]
    added = [dict(content=piece, special=True) for piece in own]
    path.write_text(json.dumps(dict(added_tokens=added, model=model)))
    return sentencepiece.read(path)


def test_both_formats_of_files_are_one_vocabulary(tmp_path, unigrams):
    vocabulary = [[piece, score] for piece, score, _ in UNIGRAMS]
    model = dict(type="Unigram", unk_id=0, vocab=vocabulary)
    found = write_json(tmp_path / "one.json", UNIGRAMS, model)
    pairs = sentencepiece.Vocabulary(PAIRS, BYTE_PAIRS, False)
    joins = [f"{w[:i]} {w[i:]}" for w in WORDS if len(w) > 1 for i in range(1, len(w))]
    joins = [j for j in joins if set(j.split()) <= set(WORDS)]
    ids = {piece: i for i, (piece, *_) in enumerate(PAIRS)}
    model = dict(type="BPE", unk_token="<unk>", vocab=ids, merges=joins)
    other = write_json(tmp_path / "two.json", PAIRS, model)
    model["merges"] = [j.split() for j in joins]
    third = write_json(tmp_path / "three.json", PAIRS, model)
    for text in ("bananab", "nab anaban", "a\u00e9n"):
        assert found.tokenize(text, 16).tolist() == unigrams.tokenize(text, 16).tolist()
        for model in (other, third):
            assert model.tokenize(text, 16).tolist() == pairs.tokenize(text, 16).tolist()


@pytest.mark.parametrize("content", [b"", b"\xff" * 9, b"PK\x03\x04", block(1, b"\xff\xff")])
@pytest.mark.parametrize("name", ["x.model", "x.json"])
def test_another_file_is_an_error(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: no vocabulary of SentencePiece"):
        sentencepiece.read(tmp_path / name)


def test_a_vocabulary_is_found_beside_the_weights(tmp_path, monkeypatch):
    folder = tmp_path / "siglip"
    folder.mkdir()
    (folder / "spiece.model").write_bytes(message(UNIGRAMS, UNIGRAM, True))
    step = Tokenize(length=6, templates=("{}!",), vocabulary="siglip/spiece.model")
    run = functools.partial(step, {"labels": ("ban", "an")}, np.random.default_rng(0))
    with pytest.raises(UserError, match="neither here nor in JAXVID_WEIGHTS_DIR"):
        run()
    monkeypatch.setenv("JAXVID_WEIGHTS_DIR", str(tmp_path))
    assert run()["text"].shape == (2, 6)
    assert (run()["text"][:, -1] == 0).all()
