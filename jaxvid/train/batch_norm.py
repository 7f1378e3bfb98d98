"""Batch normalization of a run: the number of groups, and statistics over many batches.

Precise BN (Wu & Johnson, 2021, https://arxiv.org/abs/2105.07576): the running statistics of
training are averages over parameters that have changed since. Before an evaluation, they are
replaced by the mean and the variance over many batches, computed with the present parameters.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import fields, replace
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.data.loading import loader
from jaxvid.distributed import mesh as meshes
from jaxvid.distributed.watchdog import Watchdog
from jaxvid.errors import UserError
from jaxvid.tasks.base import Batch
from jaxvid.train import micro_batches
from jaxvid.train.plan import Plan
from jaxvid.train.step import Compiled, TrainState, forward

logger = logging.getLogger(__name__)

MOMENTS = "batch_moments"  # the collection in which BatchNorm stores them


class PreciseStatistics:
    """Recomputes the statistics of BatchNorm over the next `config.precise_bn` training batches.

    Args:
      planned: the plan of the run.
      batches: function from the steps `start` and `stop` to the batches of the steps between.
      watchdog: gets a beat for each batch.

    Raises:
      UserError: the model has no batch normalization.
    """

    def __init__(
        self,
        planned: Plan,
        batches: Callable[[int, int], Iterable[dict]],
        watchdog: Watchdog,
    ):
        self._planned, self._batches, self._watchdog = planned, batches, watchdog
        self.count = planned.config.precise_bn
        if self.count and "batch_stats" not in planned.state_shapes.model_state:
            raise UserError(
                f"config.precise_bn={self.count}: the model has no batch normalization; set it to 0"
            )
        whole = meshes.replicated(planned.mesh)
        self._moments = Compiled(moments(planned), logging.INFO, out_shardings=whole)
        layout = planned.state_shardings.model_state
        self._finish = jax.jit(statistics, out_shardings=layout)

    def __call__(
        self, state: TrainState, step: int, asked_to_stop: Callable[[], bool] = lambda: False
    ) -> tuple[TrainState, bool]:
        """Return the state with new statistics, and whether it was asked to stop before the end.

        The result depends on the parameters and the step, and not on the statistics before.
        """
        if not self.count:
            return state, False
        total, done = None, 0
        transfer = partial(meshes.put_batch, self._planned.mesh)
        stream = self._batches(step, step + self.count)
        with closing(loader.Prefetch(stream, transfer)) as batches:
            for done, batch in enumerate(batches, 1):
                self._watchdog.beat(f"statistics of batch normalization, after {done} batches")
                # Each batch gets the random numbers of its own step.
                new = self._moments(replace(state, step=state.step + done - 1), batch)
                total = new if total is None else jax.tree.map(jnp.add, total, new)
                jax.block_until_ready(total)  # bounds the number of batches on the device
                if asked_to_stop():
                    return state, True
        logger.info(f"batch normalization has statistics over {done} batches")
        mean = jax.tree.map(lambda x: x / done, total)
        return replace(state, model_state=self._finish(state.model_state, mean)), False


def moments(planned: Plan) -> Callable[[TrainState, Batch], Any]:
    """Return a function from a state and a batch to the moments of all BatchNorm layers.

    The parameters are those of evaluation: the moving average, if there is one. The moments are the
    means over the micro-batches of the run.
    """
    model, task, count = planned.model, planned.task, planned.config.accumulate

    def batch_moments(state: TrainState, batch: Batch) -> Any:
        rng = jax.random.fold_in(jax.random.wrap_key_data(state.rng), state.step)
        augment_rng, dropout_rng = jax.random.split(rng)
        batch = task.prepare(augment_rng, batch, train=True)
        params = planned.all_gather(state.params if state.ema is None else state.ema)

        def one(numbered):
            part, i = numbered
            keys = jax.random.fold_in(dropout_rng, i)
            _, state_of_part = forward(
                model, task, params, state.model_state, part, keys, planned.freeze, (MOMENTS,)
            )
            return state_of_part.get(MOMENTS, {})

        found = jax.lax.map(one, micro_batches.split(batch, count))
        return jax.tree.map(lambda x: x.mean(0), found)

    return batch_moments


def statistics(model_state: Mapping, mean: Mapping) -> dict:
    """Return the state of a model with statistics from the mean of moments.

    Layers without moments, which are frozen, keep their statistics.
    """

    def changed(stats: Any, moments: Mapping) -> Any:
        if "square" in moments:
            variance = moments["square"] - jnp.square(moments["mean"])
            return {"mean": moments["mean"], "var": jnp.maximum(variance, 0)}
        return {k: changed(v, moments[k]) if k in moments else v for k, v in stats.items()}

    return {**model_state, "batch_stats": changed(model_state["batch_stats"], mean)}


def with_groups(model: nn.Module, change: Callable[[int], int]) -> nn.Module:
    """Return a model whose parts have other numbers of groups of BatchNorm.

    Args:
      model: a model; its field `bn_groups`, and those of the modules in its fields, are changed.
      change: function from the number of groups to the new one.
    """
    changes: dict[str, Any] = {}
    for field in fields(model):
        value = getattr(model, field.name)
        if field.name == "bn_groups":
            changes[field.name] = change(value)
        elif isinstance(value, nn.Module) and field.name != "parent":
            changes |= {field.name: new} if (new := with_groups(value, change)) is not value else {}
    return model.clone(**changes) if changes else model
