"""Conversion of a sentence to the numbers of its words in a vocabulary."""

import functools
import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxvid.data.annotations import lists
from jaxvid.data.annotations.entries import entry
from jaxvid.data.sample import Sample
from jaxvid.errors import UserError
from jaxvid.log import warn_once

logger = logging.getLogger(__name__)

# A word, the end of a contraction such as "'s" or "n't", or a punctuation mark, as in NLTK.
WORD = re.compile(r"\w+?(?=n't\b)|n't\b|'\w+|\w[\w\-/.]*\w|\w|[^\w\s]")


def split_words(sentence: str) -> list[str]:
    """Return the words of a sentence in lower case, without periods.

    Examples:
      "The person's laptop, opened." -> ["the", "person", "'s", "laptop", ",", "opened"]
    """
    return WORD.findall(sentence.lower().replace(".", ""))


def vocabulary_of(sentences: Iterable[str]) -> tuple[str, ...]:
    """Return the words of sentences, the most frequent first, then in alphabetical order."""
    counts = Counter(word for sentence in sentences for word in split_words(sentence))
    return tuple(sorted(counts, key=lambda word: (-counts[word], word)))


@functools.lru_cache(maxsize=4)
def read_vocabulary(path: Path) -> tuple[str, ...]:
    """Return the words of a file in the order of their numbers.

    Args:
      path: a json file {"WORD": NUMBER}, or a text file with one word per line.

    Raises:
      UserError: the file does not exist, a word is there twice, or the numbers are not 1, 2, 3 ...
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file of a vocabulary")
    if path.suffix.lower() != ".json":
        words = tuple(line.strip().lower() for _, line in lists.lines(path))
        if twice := [word for word, count in Counter(words).items() if count > 1]:
            raise UserError(f'{path}: "{twice[0]}" is there twice')
        return words
    content = entry(lists.parse_json(lists.read_text(path), path), str(path), '{"WORD": NUMBER}')
    number = {word: content.whole(word, "a number from 1 on", 1) for word in content.values}
    words = tuple(sorted(number, key=lambda word: number[word]))
    if [number[word] for word in words] != list(range(1, len(words) + 1)):
        raise UserError(f"{path}: the numbers of the words are not 1, 2, 3 ... without gaps")
    return words


@functools.lru_cache(maxsize=4)
def numbers(vocabulary: tuple[str, ...]) -> dict[str, int]:
    """Return the number of each word, from 1 on."""
    return {word: i for i, word in enumerate(vocabulary, 1)}


@dataclass(frozen=True)
class NumberWords:
    """Make `query`, int32 (length,), of a sentence `query` and a `vocabulary`. 0 is padding.

    Words that the vocabulary lacks are left out, with a warning. Longer sentences are cut.

    Attributes:
      length: number of words of the result.
      file: file of the vocabulary, for samples that have none; see `read_vocabulary`.

    Raises:
      UserError: there is no sentence, or the vocabulary has none of its words.
    """

    length: int
    file: str = ""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sentence, vocabulary = sample.get("query"), tuple(sample.get("vocabulary", ()))
        if not vocabulary and self.file:
            vocabulary = read_vocabulary(Path(self.file).expanduser())
        if not isinstance(sentence, str) or not sentence.strip():
            raise UserError(
                "this model looks for what a sentence describes; give a query, such as"
                ' --query "a person opens a door"'
            )
        if not vocabulary:
            raise UserError(
                "the vocabulary of these weights is not known; set config.data.recipe.vocabulary"
                " to its file, such as Charades_word2id.json"
            )
        known = numbers(vocabulary)
        words = split_words(sentence)
        found = [known[word] for word in words if word in known]
        lost = [f'"{word}"' for word in words if word not in known]
        if not found:
            raise UserError(
                f'the model knows none of the words of the query "{sentence}"; its vocabulary has'
                f" {len(known):,} words"
            )
        if lost:
            warn_once(
                logger, f'words of "{sentence}" that are not in the vocabulary: {", ".join(lost)}'
            )
        query = np.zeros(self.length, np.int32)
        query[: len(found)] = found[: self.length]
        return {**sample, "query": query}
