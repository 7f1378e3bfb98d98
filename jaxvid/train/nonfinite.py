"""Handling of losses and gradients that are not finite, with their origin and samples."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid import param_rules
from jaxvid.data.sample import Source
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError, first
from jaxvid.train.plan import Plan
from jaxvid.train.progress import is_finite
from jaxvid.train.step import TrainState

logger = logging.getLogger(__name__)

POLICIES = ("stop", "skip")
AHEAD = 2  # steps that the device has, to compute or queued, when the host checks the one before
IN_A_ROW = 10  # consecutive skipped steps that end a run
SHOWN = 5  # maximum number of samples in a message


class Nonfinite:
    """Stops the run with the reason if a step is not finite, or continues without its batch.

    Args:
      policy: "stop" or "skip".
      planned: the plan of the run.
      source: the samples of training.
      done: is called with each step and its logs, in order, as soon as the host knows that the
        device has finished it.

    Raises:
      UserError: unknown policy.
    """

    def __init__(
        self,
        policy: str,
        planned: Plan,
        source: Source,
        done: Callable[[int, dict], None] = lambda step, logs: None,
    ):
        if policy not in POLICIES:
            raise UserError(f'config.nonfinite: "{policy}" is none of {", ".join(POLICIES)}')
        self._policy, self._planned, self._source, self._done = policy, planned, source, done
        self._row = self.skipped = 0
        self._pending: deque[tuple[int, dict, dict]] = deque()

    def follow(self, step: int, state: TrainState, batch: dict, logs: dict):
        """Check the step that is `AHEAD` steps older than this one, and wait for it if need be.

        The device still has those steps to compute, so it never waits for the host. They also limit
        the number of batches on the device. A step that is not finite keeps the old parameters, so
        only its report is late. If the steps after it are finite, the report uses their parameters.

        Raises:
          UserError: the older step was not finite, and this ends the run.
        """
        for value in logs.values():
            if isinstance(value, jax.Array):
                value.copy_to_host_async()
        self._pending.append((step, batch, logs))
        while len(self._pending) > AHEAD:
            self._check(state, *self._pending.popleft())

    def settle(self, state: TrainState):
        """Wait for the newest step, and check all steps that are not checked yet.

        Raises:
          UserError: a step was not finite, and this ends the run.
        """
        while self._pending:
            self._check(state, *self._pending.popleft())

    def _check(self, state: TrainState, step: int, batch: dict, logs: dict):
        if is_finite(logs):
            self._row = 0
        else:
            self._report(state, step, batch, logs)
        self._done(step, logs)

    def _report(self, state: TrainState, step: int, batch: dict, logs: dict):
        self._row, self.skipped = self._row + 1, self.skipped + 1
        where, rows = first_bad(self._planned, state, batch, step)
        report = (
            f"the loss is {logs['loss']} and the gradient's norm {logs['grad_norm']} at step"
            f" {step}: {where}{self._samples(rows)}"
        )
        if self._policy == "stop" or self._row == IN_A_ROW:
            many = f"; so were the {IN_A_ROW - 1} steps before" if self._policy == "skip" else ""
            raise UserError(
                f"{report}{many}; try a lower config.optim.lr, or config.optim.clip;"
                " config.nonfinite=skip leaves such batches out"
            )
        logger.info(f"skipped: {report}")

    def _samples(self, rows: Sequence[int]) -> str:
        if not rows:
            return ""
        names = [self._source.id(row) for row in rows]
        return f", for {', '.join(first(names, SHOWN))}"


def first_bad(
    planned: Plan, state: TrainState, batch: dict, step: int
) -> tuple[str, tuple[int, ...]]:
    """Return a description of the first value that was not finite in a step, and its samples.

    Args:
      planned: the plan of the run.
      state: the state before the step.
      batch: the batch of the step.
      step: number of the step.

    Returns:
      The description, and rows of the source.
    """
    model, task, order = planned.model, planned.task, []

    def seen(module, method):
        order.append("/".join((*module.path, method)))  # as calls end: submodules first
        return True

    def run(state, batch):
        rng = jax.random.fold_in(jax.random.wrap_key_data(state.rng), step - 1)
        augment_rng, dropout_rng = jax.random.split(rng)
        ready = task.prepare(augment_rng, batch, train=True)

        def forward(params):
            out, found = model.apply(
                {"params": params, **state.model_state},
                **task.inputs(ready),
                train=True,
                mutable=[*state.model_state, "intermediates"],
                capture_intermediates=seen,
                rngs={"dropout": dropout_rng},
            )
            return task.loss(out, ready)[0], found["intermediates"]

        grads, found = jax.grad(forward, has_aux=True)(state.params)
        rows = jax.tree.map(lambda x: good_rows(x, len(batch["mask"])), (task.inputs(ready), found))
        return *rows, jax.tree.map(lambda x: jnp.isfinite(x).all(), grads), batch["index"]

    run = jax.jit(run, out_shardings=meshes.replicated(planned.mesh))
    try:
        inputs, found, grads, index = jax.device_get(run(state, batch))
    except jax.errors.JaxRuntimeError as error:  # it stores all outputs of the whole batch
        return f"where, could not be found out ({str(error).splitlines()[0][:100]})", ()

    def samples(good):
        return tuple(np.asarray(index)[~good].tolist()) if good.shape else ()

    for name, good in param_rules.flatten(inputs).items():
        if not np.all(good):
            return f"{name} of the batch, after augmentation, is not finite", samples(good)
    outputs = param_rules.flatten(found)  # a call may have several outputs, which are numbered
    for call in order:
        for name, good in outputs.items():
            if name.startswith(call + "/") and not np.all(good):
                layer = call.removesuffix("/__call__")
                return f"the output of {layer} is not finite", samples(good)
    bad = [name for name, good in param_rules.flatten(grads).items() if not good]
    if bad:
        names = ", ".join(first(bad[::-1], 1))
        return f"all outputs are finite, but not the gradient of {names}", ()
    return "computed once more, all is finite", ()


def good_rows(x: Any, samples: int) -> jax.Array:
    """Return bool (samples,), which samples of x are finite; bool () if rows are not samples."""
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return jnp.array(True)
    good = jnp.isfinite(x)
    if x.ndim and len(x) % samples == 0:
        return good.reshape(samples, -1).all(1)
    return good.all()
