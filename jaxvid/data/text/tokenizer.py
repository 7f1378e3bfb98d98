"""The tokenizer of CLIP: byte-pair encoding of lower-case text (Sennrich et al., 2016).

https://arxiv.org/abs/2103.00020. The merges in `clip_bpe.txt.gz` are those that OpenAI published
with CLIP, without those that CLIP does not use. Their license is in the same folder.
"""

import functools
import gzip
import html
import itertools
import unicodedata
from collections.abc import Iterable
from importlib import resources

import numpy as np
import regex

from jaxvid.errors import UserError

LENGTH = 77  # number of tokens of a text
START, END = 49406, 49407
# Curly quotes, single and double.
STRAIGHT = dict.fromkeys((0x2BC, *range(0x2018, 0x201C)), "'") | dict.fromkeys(
    range(0x201C, 0x2020), '"'
)
SPECIAL = {"<|startoftext|>": START, "<|endoftext|>": END}
# The pattern that OpenAI published. The module `re` does not support \p{L} and \p{N}.
WORD = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)


def tokenize(text: str, length: int = LENGTH) -> np.ndarray:
    """Convert a text to tokens: a start token, the tokens of the text, an end token, and zeros.

    If a text is too long, its first tokens and the end token are kept.

    Args:
      text: the text.
      length: length of the result, at least 3.

    Returns:
      int32 (length,).

    Raises:
      UserError: `length` is too small.
    """
    if length < 3:
        raise UserError(f"a text of {length} tokens has no room for one between start and end")
    ids = [START, *encode(text)[: length - 2], END]
    return np.array(ids + [0] * (length - len(ids)), np.int32)


def encode(text: str) -> list[int]:
    """Return the token ids of a text of any length, without start and end tokens.

    HTML entities are resolved, and curly quotes are replaced by straight ones. The code of OpenAI
    also repairs wrong encodings and ligatures, which this function does not do.
    """
    text = html.unescape(html.unescape(text)).translate(STRAIGHT)
    text = unicodedata.normalize("NFC", text).lower()
    return [token for word in WORD.findall(text) for token in word_tokens(word)]


def decode(ids: Iterable[int]) -> str:
    """Return the text of token ids: in lower case, with spaces between words.

    Tokens after the end token are ignored.
    """
    names = {number: token for token, number in vocabulary()[1].items()}
    values = {letter: byte for byte, letter in byte_letters().items()}
    kept = itertools.takewhile(lambda number: number != END, ids)
    parts = "".join(names.get(number, "") for number in kept).split("</w>")
    return " ".join(
        bytes(values[c] for c in part).decode("utf-8", "replace") for part in parts if part
    )


@functools.lru_cache(65536)
def word_tokens(word: str) -> tuple[int, ...]:
    """Return the token ids of a word.

    Neighboring parts of the word are merged, always the pair with the lowest rank, as long as there
    is such a pair.
    """
    if word in SPECIAL:
        return (SPECIAL[word],)
    ranks, ids = vocabulary()
    letters = byte_letters()
    parts = [letters[byte] for byte in word.encode("utf-8")]
    parts[-1] += "</w>"
    while len(parts) > 1:
        best = min(itertools.pairwise(parts), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        joined, i = [], 0
        while i < len(parts):
            both = tuple(parts[i : i + 2]) == best
            joined.append("".join(best) if both else parts[i])
            i += 1 + both
        parts = joined
    return tuple(ids[part] for part in parts)


@functools.cache
def vocabulary() -> tuple[dict[tuple[str, str], int], dict[str, int]]:
    """Return the rank of each pair to merge, and the id of each token."""
    packed = resources.files("jaxvid.data.text").joinpath("clip_bpe.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode("utf-8").splitlines()
    pairs = [(first, second) for first, second in map(str.split, lines)]
    letters = sorted(byte_letters().values())
    tokens = letters + [x + "</w>" for x in letters] + ["".join(pair) for pair in pairs]
    return {pair: i for i, pair in enumerate(pairs)}, {t: i for i, t in enumerate(tokens)}


@functools.cache
def byte_letters() -> dict[int, str]:
    """Return a printable letter for each byte.

    It is the Latin-1 character of the byte if that is printable, otherwise a character above 255.
    """
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {b: chr(b) for b in seen} | {b: chr(256 + i) for i, b in enumerate(unseen)}
