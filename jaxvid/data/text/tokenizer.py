"""Texts as CLIP's token ids: byte pairs of lower-case text (Sennrich et al., 2016).

https://arxiv.org/abs/2103.00020. The merges in `clip_bpe.txt.gz` are those that OpenAI published
with CLIP under the licence beside them, without those that CLIP leaves out.
"""

import functools
import gzip
import html
import itertools
import unicodedata
from collections.abc import Iterable, Iterator
from importlib import resources

import numpy as np

from jaxvid.errors import UserError

LENGTH = 77  # tokens of a text
START, END = 49406, 49407
# Curly quotes, single and double.
STRAIGHT = dict.fromkeys((0x2BC, *range(0x2018, 0x201C)), "'") | dict.fromkeys(
    range(0x201C, 0x2020), '"'
)
CONTRACTIONS = ("s", "t", "re", "ve", "m", "ll", "d")  # what an apostrophe joins


def tokenize(text: str, length: int = LENGTH) -> np.ndarray:
    """int32 (length,): a start, the text's tokens, an end, and zeros.

    Of a text that is too long the beginning is kept, and the end token.

    Raises:
      UserError: `length` has no room for a token.
    """
    if length < 3:
        raise UserError(f"a text of {length} tokens has no room for one between start and end")
    ids = [START, *encode(text)[: length - 2], END]
    return np.array(ids + [0] * (length - len(ids)), np.int32)


def encode(text: str) -> list[int]:
    """Token ids of a text of any length, without start and end.

    Entities of HTML are resolved, and quotes straightened. OpenAI's code mends wrong encodings and
    ligatures, too.
    """
    text = html.unescape(html.unescape(text)).translate(STRAIGHT)
    text = unicodedata.normalize("NFC", text).lower()
    return [token for word in words(text) for token in word_tokens(word)]


def decode(ids: Iterable[int]) -> str:
    """The text of token ids as a model sees it: in lower case, with a space after every word.

    Nothing is left of what comes after the end token.
    """
    names = {number: token for token, number in _vocabulary()[1].items()}
    values = {letter: byte for byte, letter in _byte_letters().items()}
    kept = itertools.takewhile(lambda number: number != END, ids)
    parts = "".join(names.get(number, "") for number in kept).split("</w>")
    return " ".join(
        bytes(values[c] for c in part).decode("utf-8", "replace") for part in parts if part
    )


def words(text: str) -> Iterator[str]:
    """Runs of letters, single digits, and runs of all else but spaces; "'s" and the like apart."""
    runs = [(kind, "".join(run)) for kind, run in itertools.groupby(text, _kind)]
    joined = 0  # letters of this run that went with the apostrophe before it
    for (kind, run), (_, following) in itertools.pairwise([*runs, ("", "")]):
        run, joined = run[joined:], 0
        if run == "'":
            found = next((c for c in CONTRACTIONS if following.startswith(c)), "")
            run, joined = run + found, len(found)
        if kind == "N":
            yield from run
        elif kind != " " and run:
            yield run


def _kind(char: str) -> str:
    """L for a letter, N for a digit or other number, a space, or else a dot."""
    kind = unicodedata.category(char)[0]
    return " " if char.isspace() else kind if kind in "LN" else "."


@functools.lru_cache(65536)
def word_tokens(word: str) -> tuple[int, ...]:
    """Joins a word's bytes, always the pair that was merged first, as long as there is one."""
    ranks, ids = _vocabulary()
    letters = _byte_letters()
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
def _vocabulary() -> tuple[dict[tuple[str, str], int], dict[str, int]]:
    """Ranks of the pairs to merge, and the id of each token."""
    packed = resources.files("jaxvid.data.text").joinpath("clip_bpe.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode("utf-8").splitlines()
    pairs = [(first, second) for first, second in map(str.split, lines)]
    letters = sorted(_byte_letters().values())
    tokens = letters + [x + "</w>" for x in letters] + ["".join(pair) for pair in pairs]
    return {pair: i for i, pair in enumerate(pairs)}, {t: i for i, t in enumerate(tokens)}


@functools.cache
def _byte_letters() -> dict[int, str]:
    """A letter for each byte: itself where it can be seen in Latin-1, one beyond 255 elsewhere."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {b: chr(b) for b in seen} | {b: chr(256 + i) for i, b in enumerate(unseen)}
