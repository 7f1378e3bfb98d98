"""Conversion of questions and answers to tokens."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxvid.data.sample import Sample
from jaxvid.data.text import wordpiece
from jaxvid.data.transforms.text import vocabulary_file


@dataclass(frozen=True)
class TokenizeQuestions:
    """Convert `question`, `answers` and `candidates` to tokens, padded with zeros.

    `question` becomes int32 (1, length), and the others `answer` (n, answer_length) and
    `candidates` (a, answer_length). Answers end with an end token. A sample without a question is
    not changed.

    Attributes:
      vocabulary: vocabulary file of BERT, see `transforms.text.vocabulary_file`.
      length: number of tokens of a question.
      answer_length: number of tokens of an answer.
      use_candidates: keep the candidates, which only evaluation needs.

    Raises:
      UserError: there is no such file.
    """

    vocabulary: str
    length: int = 25
    answer_length: int = 5
    use_candidates: bool = True
    _known: dict[Any, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sample = dict(sample)
        answers, candidates = sample.pop("answers", ()), sample.pop("candidates", ())
        if "question" not in sample:
            return sample
        words = wordpiece.read(vocabulary_file(self.vocabulary))
        question = wordpiece.plain(sample["question"])
        sample["question"] = words.tokenize(question, self.length)[None]
        if answers:
            sample["answer"] = self._answers(words, tuple(answers))
        if candidates and self.use_candidates:
            key = tuple(candidates)
            if key not in self._known:  # the same for all samples
                self._known[key] = self._answers(words, key)
            sample["candidates"] = self._known[key]
        return sample

    def _answers(self, words: wordpiece.Vocabulary, answers: tuple[str, ...]) -> np.ndarray:
        """Return the tokens of answers (n, answer_length). Empty answers are padding of sources."""
        rows = [
            words.tokenize(f"{answer} {wordpiece.END}", self.answer_length) * bool(answer)
            for answer in answers
        ]
        return np.stack(rows)
