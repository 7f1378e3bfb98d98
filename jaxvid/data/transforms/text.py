"""Conversion of the texts of a sample to tokens."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.data.sample import Sample
from jaxvid.data.text import sentencepiece, tokenizer, wordpiece
from jaxvid.data.text.tokenizer import LENGTH
from jaxvid.errors import UserError


def check_texts(name: str, given: Any) -> tuple[str, ...]:
    """Return texts that a caller gives, such as labels, as a tuple.

    Args:
      name: what the texts are, for the error.
      given: any collection of texts.

    Raises:
      UserError: it is a single text, is empty, or has an element that is no text or an empty one.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise UserError(f'{name}={given!r:.100}: give a list of texts, such as ["golf", "cooking"]')
    texts = tuple(str(text) if isinstance(text, str) else text for text in given)
    if not texts:
        raise UserError(f"{name}: there are none; give a list of texts")
    for i, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{name}: number {i + 1} is {text!r:.100}, not a text")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UserError(f"{name}: number {i + 1}, {text!a:.100}, is not Unicode") from None
    return texts


def vocabulary_file(name: str) -> Path:
    """Return the path of a vocabulary, which may be in the folder JAXVID_WEIGHTS_DIR.

    Raises:
      UserError: there is no such file.
    """
    path = Path(name).expanduser()
    folders = ("", os.environ.get("JAXVID_WEIGHTS_DIR") or "")
    for folder in map(Path, folders):
        if (folder / path).is_file():
            return folder / path
    source = "get it from the repository of the weights"
    if path.suffix == wordpiece.SUFFIX:
        source = f"save {wordpiece.URL} there"
    raise UserError(
        f"{path}: no such file, neither here nor in JAXVID_WEIGHTS_DIR; {source}, or set"
        " config.data.recipe.vocabulary to its path"
    )


@dataclass(frozen=True)
class Tokenize:
    """Convert `captions`, or `labels` in templates, to `text` int32 (n, length), padded with zeros.

    A sample without captions and labels is not changed.

    Attributes:
      length: number of tokens of a text.
      templates: texts in which {} is replaced by a label. The texts of a label are consecutive.
      use: which templates to use for each label: "all", the "first", or one at "random".
      vocabulary: file of a vocabulary of SentencePiece, or of BERT if it ends in .txt, which may be
        in the folder of the variable JAXVID_WEIGHTS_DIR; "" is the vocabulary of CLIP.
      sentence: with such a file, end a text with a period instead of an end token.

    Raises:
      UserError: a template does not contain {} once, or there is no such file.
    """

    length: int = LENGTH
    templates: tuple[str, ...] = ("{}",)
    use: str = "all"
    vocabulary: str = ""
    sentence: bool = False

    def __post_init__(self):
        for template in self.templates:
            if template.count("{}") != 1:
                raise UserError(f'config.data.recipe.templates: "{template}" needs one {{}}')

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sample = dict(sample)
        labels, texts = sample.pop("labels", ()), sample.pop("captions", ())
        if labels:
            texts = [t.replace("{}", label) for label in labels for t in self._chosen(rng)]
        if not texts:
            return sample
        # Empty texts are padding of sources.
        rows = [self.tokenize(t) * bool(t) for t in texts]
        return sample | {"text": np.stack(rows)}

    def tokenize(self, text: str) -> np.ndarray:
        """Return the tokens of a text, int32 (length,)."""
        if not self.vocabulary:
            return tokenizer.tokenize(text, self.length)
        path = vocabulary_file(self.vocabulary)
        if path.suffix == wordpiece.SUFFIX:
            return wordpiece.read(path).tokenize(wordpiece.plain(text), self.length)
        return sentencepiece.read(path).tokenize(text, self.length, self.sentence)

    def _chosen(self, rng: np.random.Generator) -> tuple[str, ...]:
        """Return the templates for one label."""
        if self.use == "random":
            return (self.templates[int(rng.integers(len(self.templates)))],)
        return self.templates[:1] if self.use == "first" else self.templates
