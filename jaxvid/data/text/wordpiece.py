"""The tokenizer of BERT: pieces of lower-case words (Wu et al., 2016), by its vocabulary file.

https://arxiv.org/abs/1609.08144. The file vocab.txt has one piece per line; its line is its id. A
piece inside a word begins with "##".
"""

import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from jaxvid.data.annotations import lists
from jaxvid.errors import UserError

SUFFIX = ".txt"  # of vocabulary files
URL = "https://huggingface.co/google-bert/bert-base-uncased/resolve/main/vocab.txt"
PADDING, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
SPECIAL = re.compile(r"(\[(?:PAD|UNK|CLS|SEP|MASK)\])")
LONGEST = 100  # letters of a word; longer words are unknown
# Chinese characters are words of their own.
CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class Vocabulary:
    """The pieces of a vocabulary file.

    Attributes:
      ids: The id of each piece.
    """

    def __init__(self, ids: Mapping[str, int]):
        self.ids = ids
        self._word = functools.lru_cache(65536)(self._pieces)

    def tokenize(self, text: str, length: int) -> np.ndarray:
        """Convert a text to tokens: a start token, the tokens of the text, and zeros.

        As published with VindLU, there is no end token, unless the text has "[SEP]" at its end. If
        a text is too long, its first tokens are kept.

        Args:
          text: the text.
          length: length of the result, at least 2.

        Returns:
          int32 (length,).

        Raises:
          UserError: `length` is too small.
        """
        if length < 2:
            raise UserError(f"a text of {length} tokens has no room for one after the start")
        ids = [self.ids[START], *self.encode(text)][:length]
        return np.array(ids + [0] * (length - len(ids)), np.int32)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text of any length, without a start token."""
        found: list[int] = []
        for part in SPECIAL.split(text):
            if SPECIAL.fullmatch(part) and part in self.ids:
                found.append(self.ids[part])
            else:
                found += [i for word in words(part) for i in self._word(word)]
        return found

    def _pieces(self, word: str) -> tuple[int, ...]:
        """Return the ids of the pieces of a word: always the longest that fits."""
        if len(word) > LONGEST:
            return (self.ids[UNKNOWN],)
        start, found = 0, []
        while start < len(word):
            mark = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((e for e in ends if mark + word[start:e] in self.ids), 0)
            if not end:
                return (self.ids[UNKNOWN],)
            found.append(self.ids[mark + word[start:end]])
            start = end
        return tuple(found)


def words(text: str) -> Iterator[str]:
    """Yield the words of a text, in lower case and without accents; punctuation is separate."""
    kept = "".join(_spaced(letter) for letter in text)
    for word in kept.split():
        word = unicodedata.normalize("NFD", word.lower())
        word = "".join(x for x in word if unicodedata.category(x) != "Mn")
        start = 0
        for i, letter in enumerate(word):
            if _separates(letter):
                yield from filter(None, (word[start:i], letter))
                start = i + 1
        if word[start:]:
            yield word[start:]


def plain(text: str) -> str:
    """Return a caption or question without punctuation and in lower case, as VindLU takes it."""
    text = re.sub(r"[,.'!?\"()*#:;~]", "", text.lower())
    text = text.replace("-", " ").replace("/", " ").replace("<person>", "person")
    return re.sub(r"\s{2,}", " ", text).strip()


@functools.cache
def read(path: Path) -> Vocabulary:
    """Read a vocabulary file.

    Raises:
      UserError: it cannot be read, or lacks a special token.
    """
    pieces = lists.read_text(path).rstrip("\n").split("\n")
    ids = {piece.rstrip("\r"): i for i, piece in enumerate(pieces)}
    if lacking := [piece for piece in (UNKNOWN, START, END) if piece not in ids]:
        raise UserError(
            f"{path}: no vocabulary of BERT, which has one piece per line and {lacking[0]} among"
            " them; it is vocab.txt of bert-base-uncased"
        )
    if ids.get(PADDING) != 0:
        raise UserError(f"{path}: the first line of a vocabulary of BERT is {PADDING}")
    return Vocabulary(ids)


def _spaced(letter: str) -> str:
    """Return a letter as it counts for words: spaces around Chinese, nothing for control codes."""
    if letter.isspace():
        return " "
    code = ord(letter)
    if code in (0, 0xFFFD) or unicodedata.category(letter).startswith("C"):
        return ""
    return f" {letter} " if any(a <= code <= b for a, b in CHINESE) else letter


def _separates(letter: str) -> bool:
    """Return whether a letter is a word of its own: all of ASCII but letters and digits count."""
    ascii_mark = letter.isascii() and letter.isprintable() and not letter.isalnum()
    return ascii_mark or unicodedata.category(letter).startswith("P")
