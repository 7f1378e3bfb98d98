"""Texts as token ids: what OpenAI's code gives, Hugging Face's on many strings, and lengths."""

import gzip
import json
import random
from importlib import resources

import numpy as np
import pytest

from jaxvid.data.text import tokenizer
from jaxvid.data.text.tokenizer import encode, tokenize
from jaxvid.errors import UserError

# Computed with OpenAI's code, which open_clip 3.3.0 carries.
EXPECTED = [
    ("a photo of a cat", "320 1125 539 320 2368"),
    ("A person is cleaning a swimming pool", "320 2533 533 7210 320 7411 2831"),
    (
        "don't they're we've I'm you'll he'd it's",
        "847 713 889 982 649 1200 328 880 592 1342 797 1896 585 568",
    ),
    ("'tis the rock'n'roll o'clock", "713 533 518 2172 262 333 262 3341 334 262 6716"),
    ("x\xb2+\xbd = 3.14, 2024!", "343 41175 266 33613 284 274 269 272 275 267 273 271 273 275 256"),
    ("U.S.A. -- 's --'s", "340 269 338 269 320 269 2432 568 2154 262 338"),
    ("\u201cquoted\u201d \u2018single\u2019", "257 27706 257 568 17005 262"),
    ("Café naïve Äpfel", "15304 1097 35689 563 10896 79 20304"),
    ("cafe\u0301", "15304"),
    ("日本語 と 中文", "39121 44353 34002 508 4813 357 19759 255 29032 485"),
    ("привет мир", "26302 16370 29503 110 22176 141 480 38018 16701 141 478"),
    ("مرحبا", "12986 10948 25722 16378 22625"),
    ("ह\u093fन\u094dद\u0940", "29446 26721 26090 19389 29552 25751"),
    ("\U0001f642\U0001f44d\U0001f3fd", "32006 43722"),
    ("fish &amp; chips &amp;lt;3", "2759 261 8855 283 274"),
    ("  tabs\tand\nlines\xa0too  ", "29163 537 3418 1256"),
    ("antidisestablishmentarianism", "3120 4262 7726 12658 1585 44351"),
    (
        "#hash_tag @you http://a.b/c?d=e",
        "258 19199 318 3640 287 592 15066 12441 320 269 321 270 322 286 323 284 324",
    ),
    ("\U0001d4b3 𐍈", "43387 367 172 238 235 486"),
    ("\u039f\u0394\u039f\u03a3", "138 123 138 112 138 123 139 480"),
    ("Start<|startoftext|>END <|endoftext|>", "1572 49406 806 49407"),
    ("", ""),
    ("   ", ""),
]


@pytest.mark.parametrize("text,ids", EXPECTED)
def test_tokens_are_those_of_the_published_code(text, ids):
    assert encode(text) == [int(word) for word in ids.split()]


def test_every_id_is_a_token_of_its_own():
    ranks, ids = tokenizer.vocabulary()
    assert len(ranks) == 48894
    assert sorted(ids.values()) == list(range(tokenizer.START))


def test_a_text_stands_between_start_and_end_before_zeros():
    found = tokenize("a photo of a cat", 9)
    assert found.dtype == np.int32
    assert found.tolist() == [49406, 320, 1125, 539, 320, 2368, 49407, 0, 0]
    assert tokenize("").shape == (77,)


def test_of_a_long_text_the_beginning_and_the_end_token_stay():
    assert tokenize("a photo of a cat", 5).tolist() == [49406, 320, 1125, 539, 49407]
    assert tokenize("swimming " * 100)[[0, 75, 76]].tolist() == [49406, 7411, 49407]
    with pytest.raises(UserError, match="a text of 2 tokens has no room"):
        tokenize("a", 2)


# Pieces whose treatment does not differ: Hugging Face straightens no quotes and resolves no
# entities, and versions of Unicode differ in which code points are letters.
PIECES = [
    "a", "person", "cleaning", "pool", "don't", "it's", "we'll", "'s", "--'s", "''s", "U.S.A.",
    "3.14", "x²", "½", "①", "café", "e\u0301", "ß", "привет", "日本語", "한국어", "مرحبا", "हिन्दी",
    "🙂", "👩‍👧", "#hash", "@you", "50%", "a_b", "__init__", "<tag>", "tab\there", "—", "…", "!!!",
    "DON'T", "I'M", "antidisestablishmentarianism", "aaaaaaaaaaaaaaaa", "^_^", "[x]", "{y}", "\\",
]  # fmt: skip


def varied(rng):
    parts = []
    for _ in range(rng.randint(1, 14)):
        noise = "".join(rng.choices("abcdefghijklmnopqrstuvwxyzABCDE'0123456789.,-", k=5))
        parts += [rng.choice([*PIECES, noise, noise, noise]), rng.choice([" ", " ", "", "  "])]
    return "".join(parts)


def test_ten_thousand_strings_are_as_with_hugging_face(tmp_path):
    transformers = pytest.importorskip("transformers")
    _, ids = tokenizer.vocabulary()
    (tmp_path / "vocab.json").write_text(json.dumps(ids | tokenizer.SPECIAL))
    packed = resources.files("jaxvid.data.text").joinpath("clip_bpe.txt.gz").read_bytes()
    (tmp_path / "merges.txt").write_bytes(b"#version: 0.2\n" + gzip.decompress(packed))
    theirs = transformers.CLIPTokenizerFast.from_pretrained(tmp_path)
    rng = random.Random(0)
    texts = [varied(rng) for _ in range(10_000)]
    want = theirs(texts, add_special_tokens=False)["input_ids"]
    assert [encode(text) for text in texts] == want
