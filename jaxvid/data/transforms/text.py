"""Conversion of the texts of a sample to tokens."""

from dataclasses import dataclass

import numpy as np

from jaxvid.data.sample import Sample
from jaxvid.data.text.tokenizer import LENGTH, tokenize
from jaxvid.errors import UserError


@dataclass(frozen=True)
class Tokenize:
    """Convert `captions`, or `labels` in templates, to `text` int32 (n, length), padded with zeros.

    A sample without captions and labels is not changed.

    Attributes:
      length: number of tokens of a text.
      templates: texts in which {} is replaced by a label. The texts of a label are consecutive.
      use: which templates to use for each label: "all", the "first", or one at "random".

    Raises:
      UserError: a template does not contain {} once.
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
        # Empty texts are padding of sources.
        rows = [tokenize(t, self.length) * bool(t) for t in texts]
        return sample | {"text": np.stack(rows)}

    def _chosen(self, rng: np.random.Generator) -> tuple[str, ...]:
        """Return the templates for one label."""
        if self.use == "random":
            return (self.templates[int(rng.integers(len(self.templates)))],)
        return self.templates[:1] if self.use == "first" else self.templates
