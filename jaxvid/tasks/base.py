"""What a task must say for the one train loop to train it."""

from typing import Any, Protocol

import jax

Batch = dict[str, jax.Array]


class Metric(Protocol):
    """Collects predictions on the host; every process sees all of them (train/evaluate.py)."""

    def update(self, preds: dict[str, Any]) -> None: ...
    def compute(self) -> dict[str, float]: ...


class Task(Protocol):
    """A frozen dataclass. All but `metrics` are pure and run under jit; shapes are static."""

    def prepare(self, rng: jax.Array, batch: Batch, train: bool) -> Batch:
        """uint8 to float, normalise, augment over the batch, build targets."""
        ...

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """The model's keyword arguments. Views fold into the batch: sample-major, (b v, ...)."""
        ...

    def loss(self, out: Any, batch: Batch) -> tuple[jax.Array, Batch]:
        """Mean loss over the unmasked samples, and values to log that average the same way."""
        ...

    def predict(self, out: Any, batch: Batch) -> Batch:
        """What metrics and users need of each sample, leading b."""
        ...

    def metrics(self) -> list[Metric]: ...
