"""The interfaces of tasks and metrics, which the train loop uses."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import jax
import numpy as np

from jaxvid.results import Detected, Localized, Recognized

Batch = dict[str, jax.Array]
SampleLabels = Literal["one", "several", "other"]


class Metric(Protocol):
    """Collects predictions on the host. Every process gets all of them (see train/evaluate.py).

    Attributes:
      larger_is_better: names of the values of `compute` that `config.best` can select.
    """

    @property
    def larger_is_better(self) -> tuple[str, ...]: ...
    def update(self, preds: dict[str, Any]) -> None: ...
    def compute(self) -> dict[str, float]: ...


@dataclass(frozen=True)
class Judged:
    """The prediction of one sample, as text.

    Attributes:
      row: number of the sample in the predictions.
      true: name of the true class, or of several.
      predicted: name of the class with the highest score.
      score: score of this class, 0..1.
    """

    row: int
    true: str
    predicted: str
    score: float


@dataclass(frozen=True)
class Report:
    """The results of an evaluation in addition to its metrics.

    Attributes:
      files: {file name: content}. The content is arrays by name (.npz), rows (.csv), or data that
        JSON can represent (.json).
      lines: lines to print.
      worst, best: examples of samples, the most extreme first; empty if a task cannot rank samples.
    """

    files: dict[str, Any]
    lines: list[str] = field(default_factory=list)
    worst: Sequence[Judged] = ()
    best: Sequence[Judged] = ()


class Task(Protocol):
    """A frozen dataclass. The first four methods are pure and run under jit; shapes are static.

    The others see what `predict` returned, as NumPy arrays on the host.

    Attributes:
      compares: the loss of a sample depends on the outputs of others, as in contrastive learning,
        and is not the mean over the parts of a batch. In evaluation a metric then computes "loss"
        over all samples. Otherwise it is the mean over all samples of `loss`.
      sample_labels: what annotations say of a sample: "one" class, "several" classes, or "other"
        things, such as boxes or texts.
      label_shape: of the `label` of a sample: (), or (classes,) of 0/1.
    """

    compares: ClassVar[bool]
    sample_labels: ClassVar[SampleLabels]

    @property
    def label_shape(self) -> tuple[int, ...]: ...

    def prepare(self, rng: jax.Array, batch: Batch, train: bool) -> Batch:
        """Convert uint8 to float, normalize, augment over the batch, and build targets.

        In evaluation, targets are such that the loss of a sample does not depend on the others.
        """
        ...

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """Return the model's keyword arguments. Views are folded into the batch: (b v, ...)."""
        ...

    def loss(self, out: Any, batch: Batch) -> tuple[jax.Array, Batch]:
        """Return the mean loss over the unmasked samples, and values to log, averaged likewise."""
        ...

    def predict(self, out: Any, batch: Batch) -> Batch:
        """Return the predictions of each sample for metrics and users, with a leading axis b."""
        ...

    def metrics(self) -> Sequence[Metric]: ...

    def describe(
        self, preds: dict[str, np.ndarray], names: tuple[str, ...], topk: int | None
    ) -> Recognized | Localized | Detected:
        """Return the prediction of one sample for users, a dataclass of `results.py`.

        Args:
          preds: predictions of the sample, without a batch axis.
          names: class names by label.
          topk: number of classes or segments; None uses the default of the task.
        """
        ...

    def report(
        self, preds: dict[str, np.ndarray], ids: Sequence[str], names: tuple[str, ...]
    ) -> Report:
        """Return the report of an evaluation.

        Args:
          preds: predictions of all samples, with a leading axis of samples.
          ids: names of the samples.
          names: class names by label.
        """
        ...
