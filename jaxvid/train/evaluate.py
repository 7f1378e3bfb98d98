"""Evaluation: one pass over a split, in which each sample counts once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import jax
import numpy as np

from jaxvid.tasks.base import Metric

LARGE = ("tokens",)  # predictions that only metrics use


@dataclass
class Predictions:
    """A Metric that collects the predictions of all unmasked samples, ordered by `index`."""

    rows: list[dict[str, np.ndarray]] = field(default_factory=list)

    def update(self, preds):
        keep = preds["mask"] > 0
        self.rows.append({k: v[keep] for k, v in preds.items() if k not in LARGE})

    @property
    def larger_is_better(self) -> tuple[str, ...]:
        return ()

    def compute(self):
        return {}

    def table(self) -> dict[str, np.ndarray]:
        joined = {k: np.concatenate([r[k] for r in self.rows]) for k in self.rows[0]}
        order = np.argsort(joined["index"], kind="stable")
        return {k: v[order] for k, v in joined.items()}


def batch_size(config: Mapping, mesh: jax.sharding.Mesh, views: int = 1) -> int:
    """Return the batch size of evaluation, a multiple of the devices on the data axis.

    With several views per sample, batches have fewer samples, so that a test needs no more memory
    than training.
    """
    wanted, devices = config["eval_batch"] or config["batch"], mesh.shape["data"]
    return max(1, -(-wanted // (views * devices))) * devices


def evaluate(
    eval_step: Callable,
    variables: dict,
    batches: Iterable[dict[str, jax.Array]],
    metrics: Sequence[Metric],
    tick: Callable[[int], bool] = lambda done: False,
) -> dict[str, float]:
    """Run `batches` through `eval_step` and the metrics.

    Args:
      eval_step: (variables, batch) -> predictions with `index` and `mask`, the same on every
        process; with a `loss`, the mean over the batch, its mean over all samples is a metric.
      tick: called after each batch with the number of samples that are done. If it returns True,
        the evaluation is stopped.

    Returns:
      The values of all metrics, and "n", the number of samples; empty if it was stopped.
    """
    done, loss = 0, None
    for batch in batches:
        preds = {k: np.asarray(v) for k, v in eval_step(variables, batch).items()}
        count = int(preds["mask"].sum())
        if "loss" in preds:
            loss = (loss or 0.0) + count * float(preds.pop("loss"))
        for metric in metrics:
            metric.update(preds)
        done += count
        if tick(done):
            return {}
    for metric in metrics:
        second_pass = getattr(metric, "second_pass", None)  # a network ranks the best candidates
        if second_pass:
            for _ in second_pass(lambda batch: eval_step(variables, batch)):
                if tick(done):
                    return {}
    found = {} if loss is None else {"loss": loss / max(done, 1)}
    found |= {k: v for metric in metrics for k, v in metric.compute().items()}
    return found | {"n": done}
