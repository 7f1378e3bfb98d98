"""One pass over a split: every sample once, whatever the batch size, views and devices."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import jax
import numpy as np

from jaxvid.tasks.base import Metric


@dataclass
class Predictions:
    """Rows of all unmasked samples, ordered by `index`; a Metric that only collects."""

    rows: list[dict[str, np.ndarray]] = field(default_factory=list)

    def update(self, preds):
        keep = preds["mask"] > 0
        self.rows.append({k: v[keep] for k, v in preds.items()})

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
    """Of evaluation: what the config says, rounded up to fill the devices on the data axis.

    A sample of several views counts as so many, so that testing needs no more memory than training.
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
        process.
      tick: called with the number of samples done after each batch; whether to give up.

    Returns:
      The values of all metrics, and "n": how many samples counted; empty when given up.
    """
    done = 0
    for batch in batches:
        preds = {k: np.asarray(v) for k, v in eval_step(variables, batch).items()}
        for metric in metrics:
            metric.update(preds)
        done += int(preds["mask"].sum())
        if tick(done):
            return {}
    return {k: v for metric in metrics for k, v in metric.compute().items()} | {"n": done}
