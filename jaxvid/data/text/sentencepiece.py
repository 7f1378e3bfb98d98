"""Tokenizers of SentencePiece (Kudo & Richardson, 2018), by their published vocabulary files.

https://arxiv.org/abs/1808.06226. The file is a message of protocol buffers, spiece.model or
tokenizer.model, or Hugging Face's tokenizer.json. Its pieces have scores: a unigram model takes the
pieces of a text whose scores have the largest sum; a model of byte pairs joins neighbors, always
those with the best piece.
"""

import functools
import json
import math
import re
import string
import struct
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.errors import UserError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, _, BYTE = range(1, 7)  # types of pieces
UNIGRAM, BYTE_PAIRS = 1, 2  # types of models
SPACE = "\u2581"
ENDS = ("</s>", "<eos>")
PUNCTUATION = str.maketrans("", "", string.punctuation)
GAPS = str.maketrans(dict.fromkeys(string.punctuation, " "))
PENALTY = 10.0  # what an unknown character costs beyond the least likely piece


@dataclass(frozen=True)
class Vocabulary:
    """Pieces of text in the order of their ids.

    Attributes:
      pieces: (piece, score, type).
      kind: UNIGRAM or BYTE_PAIRS.
      prefix: Put a space before each text.
    """

    pieces: tuple[tuple[str, float, int], ...]
    kind: int
    prefix: bool

    def tokenize(self, text: str, length: int, sentence: bool = False) -> np.ndarray:
        """Convert a text to tokens: those of the text, an end token, and zeros.

        Letters become lower-case. A unigram model has no punctuation, as SigLIP publishes it. If a
        text is too long, its first tokens and the end token are kept.

        Args:
          text: the text.
          length: length of the result, at least 2.
          sentence: a text ends with a period instead, as VideoPrism publishes it.

        Returns:
          int32 (length,).
        """
        if sentence:
            ids = self.encode(self.sentence(text))[:length]
        else:
            ids = [*self.encode(self.normalize(text))[: length - 1], self.end]
        return np.array(ids + [0] * (length - len(ids)), np.int32)

    def normalize(self, text: str) -> str:
        """Return a text as the pieces have it, with SPACE for spaces."""
        text = text.lower()
        if self.kind == UNIGRAM:
            text = unicodedata.normalize("NFKC", text).translate(PUNCTUATION)
            text = " ".join(text.split())
        return (" " * (self.prefix and bool(text)) + text).replace(" ", SPACE)

    def sentence(self, text: str) -> str:
        """Return a text in lower case, with spaces for punctuation and a period at its end."""
        text = unicodedata.normalize("NFKC", text.translate(GAPS).lower())
        return (" " * self.prefix + " ".join(text.split()) + ".").replace(" ", SPACE)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a normalized text of any length, without an end token."""
        found: list[int] = []
        for part in self._symbols.split(text) if self._symbols else [text]:
            if part in self.ids and self.pieces[self.ids[part]][2] == USER_DEFINED:
                found.append(self.ids[part])
            elif part:
                found += self._likeliest(part) if self.kind == UNIGRAM else self._joined(part)
        return found

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """The id of each piece that can be in a text."""
        kinds = (NORMAL, USER_DEFINED)
        return {piece: i for i, (piece, _, kind) in enumerate(self.pieces) if kind in kinds}

    @functools.cached_property
    def end(self) -> int:
        """The id of the end token."""
        return next(i for i, (piece, *_) in enumerate(self.pieces) if piece in ENDS)

    @functools.cached_property
    def _unknown(self) -> int:
        return next(i for i, (*_, kind) in enumerate(self.pieces) if kind == UNKNOWN)

    @functools.cached_property
    def _bytes(self) -> dict[str, int]:
        return {piece: i for i, (piece, _, kind) in enumerate(self.pieces) if kind == BYTE}

    @functools.cached_property
    def _symbols(self) -> re.Pattern[str] | None:
        """A pattern of the pieces that are never divided, the longest first; None without such."""
        own = [piece for piece, _, kind in self.pieces if kind == USER_DEFINED]
        own = sorted(own, key=len, reverse=True)
        return re.compile("(" + "|".join(map(re.escape, own)) + ")") if own else None

    @functools.cached_property
    def _longest(self) -> int:
        return max(map(len, self.ids))

    def _likeliest(self, text: str) -> list[int]:
        """Return the pieces with the largest sum of scores; unknown neighbors are one token."""
        worst = min(score for _, score, kind in self.pieces if kind == NORMAL) - PENALTY
        best: list[tuple[float, int, int]] = [(0.0, 0, 0)]  # of each end: score, start, id
        for end in range(1, len(text) + 1):
            ways = [(best[end - 1][0] + worst, end - 1, self._unknown)]
            for start in range(max(0, end - self._longest), end):
                if (i := self.ids.get(text[start:end])) is not None:
                    ways.append((best[start][0] + self.pieces[i][1], start, i))
            best.append(max(ways))
        found, end = [], len(text)
        while end:
            _, end, i = best[end]
            if not (found and i == self._unknown == found[-1]):
                found.append(i)
        return found[::-1]

    def _joined(self, text: str) -> list[int]:
        """Join neighbors as long as two of them are a piece, always those with the best score."""
        parts = list(text)

        def score(i: int) -> float:
            found = self.ids.get(parts[i] + parts[i + 1])
            return -math.inf if found is None else self.pieces[found][1]

        while len(parts) > 1:
            best = max(range(len(parts) - 1), key=score)
            if score(best) == -math.inf:
                break
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        return [i for part in parts for i in self._part(part)]

    def _part(self, part: str) -> Sequence[int]:
        if part in self.ids:
            return (self.ids[part],)
        return [self._bytes.get(f"<0x{byte:02X}>", self._unknown) for byte in part.encode()]


@functools.cache
def read(path: Path) -> Vocabulary:
    """Read a vocabulary file.

    Raises:
      UserError: there is no such file, or it is no vocabulary of a unigram or byte-pair model.
    """
    try:
        content = path.read_bytes()
        found = from_json(content) if path.suffix == ".json" else from_message(content)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, LookupError, AttributeError, struct.error):
        found = Vocabulary((), 0, False)
    names = {piece for piece, *_ in found.pieces}
    if found.kind not in (UNIGRAM, BYTE_PAIRS) or not names & set(ENDS):
        raise UserError(
            f"{path}: no vocabulary of SentencePiece with an end token; the published repository"
            " has it as spiece.model, tokenizer.model or tokenizer.json"
        )
    return found


def from_message(content: bytes) -> Vocabulary:
    """Return the vocabulary in a message of protocol buffers."""
    pieces, kind, prefix = [], UNIGRAM, True
    for field, value in fields(content):
        if field == 1:
            piece = {1: b"", 2: 0.0, 3: NORMAL} | dict(fields(value))
            pieces.append((piece[1].decode(), piece[2], piece[3]))
        elif field == 2:
            kind = dict(fields(value)).get(3, UNIGRAM)
        elif field == 3:
            prefix = bool(dict(fields(value)).get(3, True))
    return Vocabulary(tuple(pieces), kind, prefix)


def from_json(content: bytes) -> Vocabulary:
    """Return the vocabulary in a file of the library tokenizers."""
    given = json.loads(content)
    model = given["model"]
    kind = {"Unigram": UNIGRAM, "BPE": BYTE_PAIRS}.get(model["type"], 0)
    own = {t["content"]: CONTROL if t["special"] else USER_DEFINED for t in given["added_tokens"]}
    if kind == UNIGRAM:
        scores = dict(model["vocab"])
        unknown = model["vocab"][model["unk_id"]][0]
    else:  # the piece that is joined first is the best
        ranks: dict[str, float] = {}
        for i, pair in enumerate(model["merges"]):
            ranks.setdefault(pair.replace(" ", "") if isinstance(pair, str) else "".join(pair), -i)
        ids = sorted(model["vocab"], key=model["vocab"].get)
        scores = {piece: ranks.get(piece, 0.0) for piece in ids}
        unknown = model["unk_token"]
    bytes_ = {f"<0x{byte:02X}>": BYTE for byte in range(256)} if kind == BYTE_PAIRS else {}
    kinds = bytes_ | own | {unknown: UNKNOWN}
    pieces = ((piece, score, kinds.get(piece, NORMAL)) for piece, score in scores.items())
    return Vocabulary(tuple(pieces), kind, kind == UNIGRAM)


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (number, value) of the fields of a message of protocol buffers.

    A value is an integer, a float or bytes.

    Raises:
      ValueError: it is no such message.
    """
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        number, kind = key >> 3, key & 7
        if kind == 0:
            yield number, varint()
            continue
        size = {1: 8, 5: 4}.get(kind) or (varint() if kind == 2 else -1)
        if size < 0 or at + size > len(message):
            raise ValueError("no message")
        value, at = message[at : at + size], at + size
        yield number, struct.unpack("<f", value)[0] if kind == 5 else value
