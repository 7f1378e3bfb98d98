"""Texts of a sample as tokens."""

from dataclasses import dataclass

import numpy as np

from jaxvid.data.sample import Sample
from jaxvid.data.text.tokenizer import LENGTH, tokenize
from jaxvid.errors import UserError


@dataclass(frozen=True)
class Tokenize:
    """`captions`, or `labels` in every template -> `text` int32 (n, length): zeros for padding.

    A sample without either is left as it is: a video alone.

    Attributes:
      length: tokens of a text.
      templates: texts with braces where a label stands; all of one label, then the next's.
      use: of the templates "all", the "first", or one at "random" for each label.

    Raises:
      UserError: a template without braces.
    """

    length: int = LENGTH
    templates: tuple[str, ...] = ("{}",)
    use: str = "all"

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
        # An empty text stands for no text: sources pad with them.
        rows = [tokenize(t, self.length) * bool(t) for t in texts]
        return sample | {"text": np.stack(rows)}

    def _chosen(self, rng: np.random.Generator) -> tuple[str, ...]:
        """The templates of one label."""
        if self.use == "random":
            return (self.templates[int(rng.integers(len(self.templates)))],)
        return self.templates[:1] if self.use == "first" else self.templates
