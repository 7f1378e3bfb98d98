"""Evaluation during training: the metrics of a state on the validation set."""

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any

from jaxvid.data.loading import loader
from jaxvid.data.sample import Source, Transform
from jaxvid.distributed import mesh as meshes
from jaxvid.distributed.watchdog import Watchdog
from jaxvid.train.evaluate import batch_size, evaluate
from jaxvid.train.plan import Plan
from jaxvid.train.step import Compiled, TrainState, make_eval_step


class Validation:
    """Computes the metrics of a state on the validation set.

    Args:
      planned: the plan of the run.
      source: the samples of the validation set.
      pipeline: their transforms.
      reading: options of the loader.
      watchdog: gets a beat for each batch.
    """

    def __init__(
        self,
        planned: Plan,
        source: Source,
        pipeline: list[Transform],
        reading: Mapping[str, Any],
        watchdog: Watchdog,
    ):
        config = planned.config
        self._planned, self._watchdog = planned, watchdog
        self._batches = lambda: loader.eval_batches(
            source,
            pipeline,
            batch=batch_size(config, planned.mesh),
            on_error=config.loader.eval_on_error,
            **reading,
        )
        function = make_eval_step(planned.model, planned.task, config.eval.views, loss=True)
        self._step = Compiled(function, logging.INFO, out_shardings=meshes.replicated(planned.mesh))

    def __call__(self, state: TrainState, asked_to_stop: Callable[[], bool]) -> dict[str, float]:
        """Return the metrics as {"val/top1": ...}; empty if it was asked to stop meanwhile."""

        def tick(done: int) -> bool:
            self._watchdog.beat(f"evaluation, after {done} samples")
            return asked_to_stop()

        params = state.params if state.ema is None else state.ema
        variables = {"params": params, **state.model_state}
        metrics = self._planned.task.metrics()
        transfer = partial(meshes.put_batch, self._planned.mesh)
        with closing(loader.Prefetch(self._batches(), transfer)) as batches:
            values = evaluate(self._step, variables, batches, metrics, tick)
        return {f"val/{name}": value for name, value in values.items()}
