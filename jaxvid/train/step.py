"""Training and evaluation steps, which use only the task interface in `tasks/base.py`."""

import functools
import inspect
import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxvid import param_rules
from jaxvid.errors import UserError
from jaxvid.tasks.base import Batch, Task
from jaxvid.train import micro_batches

logger = logging.getLogger(__name__)


@struct.dataclass
class TrainState:
    step: jax.Array
    params: Any
    model_state: Any  # batch statistics, or empty
    opt_state: optax.OptState
    rng: jax.Array  # raw key data; all randomness of the run follows from it and the step
    ema: Any  # moving average of params, or None


def init_variables(model: nn.Module, task: Task, batch, seed: int) -> Any:
    """Return the variables of a model for inputs like `batch`. Runs under jit or eval_shape.

    Raises:
      UserError: the model, or the backbone inside, takes other inputs.
    """
    rng = jax.random.key(seed)
    batch = task.prepare(rng, batch, train=False)
    inputs = task.inputs(batch)
    check_inputs(model, inputs)
    if task.compares and getattr(model, "texts_see_videos", False):
        raise UserError(
            f"config.task: the texts of {type(model).__name__} see the video, so they cannot be"
            " compared with other videos; use the task of the config xclip_own, which compares a"
            " video with the texts of all classes"
        )
    return model.init(rng, **inputs, train=False)


def check_inputs(model: nn.Module, inputs: Iterable[str]) -> None:
    """Raise a UserError if a model does not take all inputs, or its backbone none of them.

    Args:
      inputs: their names, such as "video".
    """
    given = set(inputs)
    for part in (model, getattr(model, "backbone", None)):
        if not isinstance(part, nn.Module):
            continue
        takes = inspect.signature(type(part).__call__).parameters
        if any(key.kind in (key.VAR_KEYWORD, key.VAR_POSITIONAL) for key in takes.values()):
            continue  # passes them on
        fits = given <= takes.keys() if part is model else given & takes.keys()
        if not fits:
            raise UserError(
                f"config.model: {type(part).__name__} takes"
                f" {' and '.join(key for key in takes if key not in ('self', 'train'))}, but the"
                f" recipe and config.task.keys give {' and '.join(sorted(given))}; use a model of"
                " such inputs"
            )


def init_state(
    variables: dict, tx: optax.GradientTransformation, seed: int, ema: float
) -> TrainState:
    """Return the state at step 0: the variables, a fresh optimizer state, and the random key.

    Args:
      variables: variables of the model.
      tx: the optimizer.
      seed: seed of the random key.
      ema: decay of the moving average of the parameters; 0 keeps none.
    """
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state={k: v for k, v in variables.items() if k != "params"},
        opt_state=tx.init(params),
        rng=jax.random.key_data(jax.random.key(seed)),
        ema=jax.tree.map(jnp.copy, params) if ema else None,
    )


def forward(
    model: nn.Module,
    task: Task,
    params: Any,
    model_state: Any,
    batch: Batch,
    rng: jax.Array,
    freeze: Sequence[str] = (),
    also: Sequence[str] = (),
) -> tuple[Any, Any]:
    """Return the outputs of the model for a batch in training, and its new state.

    Args:
      freeze: patterns of the paths of parameters that have no gradient. A BatchNorm whose scale is
        among them normalizes with its running statistics and does not update them.
      also: collections that are returned with the new state, such as "batch_moments".
    """
    frozen = param_rules.label(params, [(pattern, True) for pattern in freeze], False)
    params = jax.tree.map(lambda p, stop: jax.lax.stop_gradient(p) if stop else p, params, frozen)

    def call(method, arguments, named, context):
        module = context.module
        if context.method_name == "__call__" and module.has_variable("batch_stats", "mean"):
            scale = "/".join((*module.path, "scale"))
            if any(re.fullmatch(pattern, scale) for pattern in freeze):
                named = {**named, "train": False}
        return method(*arguments, **named)

    with nn.intercept_methods(call) if freeze else nullcontext():
        return model.apply(
            {"params": params, **model_state},
            **task.inputs(batch),
            train=True,
            mutable=[*model_state, *also],
            rngs={"dropout": rng},
        )


def make_train_step(
    model: nn.Module,
    task: Task,
    tx: optax.GradientTransformation,
    accumulate: int = 1,
    ema: float = 0.0,
    all_gather: Callable[[Any], Any] = lambda params: params,
    to_device: Callable[[Any], Any] = lambda opt_state: opt_state,
    freeze: Sequence[str] = (),
) -> Callable[[TrainState, Batch], tuple[TrainState, Batch]]:
    """Return a function that makes one optimizer step on one global batch.

    Args:
      accumulate: number of micro-batches that go through the model one after the other. The
        gradient is that of the full batch.
      ema: decay of the moving average of the parameters; 0 keeps none.
      all_gather: replicates the parameters that are sharded between steps.
      to_device: moves the optimizer state to the device, if it is elsewhere between steps.
      freeze: patterns of the paths of parameters that are not trained, see `forward`.
    """
    network = functools.partial(forward, model, task, freeze=freeze)

    def loss_fn(params, model_state, batch, rng):
        out, model_state = network(params, model_state, batch, rng)
        loss, logs = task.loss(out, batch)
        return loss, (model_state, logs | {"loss": loss})

    if accumulate == 1:
        gradient = jax.grad(loss_fn, has_aux=True)
    elif task.compares:
        gradient = micro_batches.compared(network, task.loss, accumulate)
    else:
        gradient = micro_batches.averaged(loss_fn, accumulate)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Batch]:
        rng = jax.random.fold_in(jax.random.wrap_key_data(state.rng), state.step)
        augment_rng, dropout_rng = jax.random.split(rng)
        batch = task.prepare(augment_rng, batch, train=True)

        params = all_gather(state.params)
        grads, (model_state, logs) = gradient(params, state.model_state, batch, dropout_rng)
        logs = logs | {"grad_norm": optax.tree.norm(grads)}

        old_opt_state = to_device(state.opt_state)
        updates, opt_state = tx.update(grads, old_opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = optax.incremental_update(params, state.ema, 1 - ema) if ema else None

        # The device decides whether to keep the result, so that the host does not have to wait.
        finite = jnp.isfinite(logs["loss"]) & jnp.isfinite(logs["grad_norm"])
        new = replace(
            state,
            step=state.step + 1,
            params=keep_if(finite, params, state.params),
            model_state=keep_if(finite, model_state, state.model_state),
            opt_state=keep_if(finite, opt_state, old_opt_state),
            ema=keep_if(finite, average, state.ema),
        )
        return new, logs

    return train_step


def keep_if(finite: jax.Array, new: Any, old: Any) -> Any:
    """Return the new arrays if a step was finite, otherwise the old ones with the new counters.

    So the schedule always advances with the step counter.
    """
    return jax.tree.map(
        lambda n, o: jnp.where(finite, n, o) if jnp.issubdtype(n.dtype, jnp.inexact) else n,
        new,
        old,
    )


def make_eval_step(
    model: nn.Module, task: Task, views: int = 1, loss: bool = False
) -> Callable[[dict, Batch], Batch]:
    """Return a function that predicts one batch, with the `index` and `mask` of its samples.

    Args:
      views: number of views of each sample that go through the model at once (0: all). It changes
        the memory, not the result. If samples have fewer views, all go through at once.
      loss: also return the mean `loss` over the batch, unless the task compares samples.

    Raises:
      UserError: when traced, `views` does not divide the views of a sample.
    """

    def eval_step(variables: dict, batch: Batch) -> Batch:
        batch = task.prepare(jax.random.key(0), batch, train=False)
        inputs, samples = task.inputs(batch), len(batch["mask"])
        total = max(map(len, jax.tree.leaves(inputs))) // samples  # samples may share a text

        def forward(inputs):
            return model.apply(variables, **inputs, train=False)

        at_once = min(views or total, total)
        if total % at_once:
            divisors = [n for n in range(1, total + 1) if total % n == 0]
            raise UserError(
                f"config.eval.views={views} does not divide the {total} views of a sample; use one"
                f" of {', '.join(map(str, divisors))}, or 0 for all at once"
            )
        if at_once == total:
            out = forward(inputs)
        else:
            out = in_groups_of_views(forward, inputs, samples, at_once)
        predictions = task.predict(out, batch) | {"index": batch["index"], "mask": batch["mask"]}
        if loss and not task.compares:
            predictions["loss"] = task.loss(out, batch)[0]
        return predictions

    return eval_step


def in_groups_of_views(forward: Callable[[Any], Any], inputs: Any, samples: int, views: int) -> Any:
    """Apply `forward` to `views` views of every sample at a time, one group after the other.

    Each group has views of all samples, so that the samples of a device stay on it.

    Args:
      inputs: arrays (samples * all views, ...), sample-major.

    Returns:
      The outputs, in the same order.
    """

    def split(x):  # (b v, ...) -> (groups, b views, ...)
        x = jnp.moveaxis(x.reshape(samples, -1, views, *x.shape[1:]), 1, 0)
        return x.reshape(len(x), samples * views, *x.shape[3:])

    def join(y):
        y = jnp.moveaxis(y.reshape(len(y), samples, views, *y.shape[2:]), 0, 1)
        return y.reshape(-1, *y.shape[3:])

    return jax.tree.map(join, jax.lax.map(forward, jax.tree.map(split, inputs)))


class Compiled:
    """A jitted function that is compiled once per batch shape, and logs time and memory of this.

    Args:
      function: function of a state and a batch.
      level: log level.
      **jit_options: options of `jax.jit`.

    Attributes:
      count: number of compilations; more than one means that shapes changed during the run.
      seconds: duration of the last one.
      memory: bytes on one device: arguments, results and temporaries of one call.
      temporary: of these, the temporaries.
    """

    def __init__(self, function: Callable, level: int = logging.DEBUG, **jit_options):
        self.name = function.__name__
        self._jitted = jax.jit(function, **jit_options)
        self._level = level
        self._cache: dict[tuple, Any] = {}
        self.count = 0
        self.seconds = 0.0
        self.memory = self.temporary = 0

    def __call__(self, state, batch):
        return self.compile(state, batch)(state, batch)

    def lower(self, state, batch) -> jax.stages.Lowered:
        """Return the program for batches of this shape, traced but not compiled."""
        return self._jitted.lower(state, batch)

    def compile(self, state, batch):
        """Return the executable for batches of this shape."""
        key = tuple((k, x.shape, x.dtype) for k, x in sorted(batch.items()))
        if key in self._cache:
            return self._cache[key]
        self.count += 1
        again = "the batch has another shape: " if self.count > 1 else ""
        shapes = ", ".join(
            f"{name} {' x '.join(map(str, shape))}" for name, shape, _ in key if len(shape) > 1
        )
        what = f"{self.name} for {shapes or f'{len(batch)} arrays'}"
        logger.log(self._level, f"{again}compiling {what} ...")
        start = time.monotonic()
        lowered = self.lower(state, batch)
        traced = time.monotonic() - start
        compiled = self._cache[key] = lowered.compile()
        self.seconds = time.monotonic() - start
        logger.log(
            self._level,
            f"compiled {self.name} in {self.seconds:.1f} s, of which {traced:.1f} s for its trace",
        )
        memory = compiled.memory_analysis()
        if memory is not None:
            self.temporary = memory.temp_size_in_bytes
            self.memory = (
                memory.argument_size_in_bytes
                + memory.output_size_in_bytes
                + memory.temp_size_in_bytes
                - memory.alias_size_in_bytes
            )
        return compiled
