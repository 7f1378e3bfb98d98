"""The gradient of a global batch: at once, or in parts that go through one after the other.

Shapes: b batch, k parts, n samples of a part, v views.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxvid.tasks.base import Batch, Task

# (params, model_state, batch, rng) -> (gradient of params, new model_state, values to log)
Gradient = Callable[[Any, Any, Batch, jax.Array], tuple[Any, Any, Batch]]


def gradient(model: Any, task: Task, accumulate: int = 1) -> Gradient:
    """That of the loss of a whole batch, whatever the number of parts.

    The means of losses of parts give it, but for tasks that compare the samples of a batch with
    each other.
    """
    if accumulate == 1:
        return at_once(model, task)
    return (compared_parts if task.compares else parts)(model, task, accumulate)


def outputs(model: Any, task: Task, params, model_state, batch: Batch, rng: jax.Array):
    """What the model makes of a batch in training, and its new state."""
    return model.apply(
        {"params": params, **model_state},
        **task.inputs(batch),
        train=True,
        mutable=list(model_state),
        rngs={"dropout": rng},
    )


def at_once(model: Any, task: Task) -> Gradient:
    """Of all samples together."""

    def function(params, model_state, batch, rng):
        def loss_fn(params):
            out, new_state = outputs(model, task, params, model_state, batch, rng)
            loss, logs = task.loss(out, batch)
            return loss, (new_state, logs | {"loss": loss})

        (_, (model_state, logs)), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
        return grads, model_state, logs

    return function


def parts(model: Any, task: Task, count: int) -> Gradient:
    """The mean of the gradients of the parts, which count by their unmasked samples."""
    of_part = at_once(model, task)

    def function(params, model_state, batch, rng):
        numbered = split(batch, count)
        weight = numbered[0]["mask"].sum(1) / jnp.maximum(batch["mask"].sum(), 1)

        def body(carry, part):
            model_state, total = carry
            (batch, i), weight = part
            grads, model_state, logs = of_part(
                params, model_state, batch, jax.random.fold_in(rng, i)
            )
            total = jax.tree.map(lambda t, x: t + weight * x, total, (grads, logs))
            return (model_state, total), None

        first = jax.tree.map(lambda x: x[0], numbered[0])
        grads, _, logs = jax.eval_shape(of_part, params, model_state, first, rng)
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (grads, logs))
        (model_state, total), _ = jax.lax.scan(body, (model_state, zeros), (numbered, weight))
        return total[0], model_state, total[1]

    return function


def compared_parts(model: Any, task: Task, count: int) -> Gradient:
    """The outputs of all parts first, then the gradient of the loss of all of them.

    Costs a forward pass more, and keeps the outputs of a batch but the activations of a part
    (Gao et al., 2021, https://arxiv.org/abs/2101.06983).
    """

    def of_part(params, model_state, numbered, rng):
        batch, i = numbered
        return outputs(model, task, params, model_state, batch, jax.random.fold_in(rng, i))

    def function(params, model_state, batch, rng):
        numbered = split(batch, count)
        found = jax.lax.map(lambda part: of_part(params, model_state, part, rng)[0], numbered)

        def loss_fn(found):
            loss, logs = task.loss(join(found, len(batch["mask"]) // count), batch)
            return loss, logs | {"loss": loss}

        slopes, logs = jax.grad(loss_fn, has_aux=True)(found)

        def body(carry, part):
            model_state, total = carry
            numbered, slope = part
            _, back, model_state = jax.vjp(
                lambda params: of_part(params, model_state, numbered, rng), params, has_aux=True
            )
            return (model_state, jax.tree.map(jnp.add, total, back(slope)[0])), None

        zeros = jax.tree.map(jnp.zeros_like, params)
        (model_state, grads), _ = jax.lax.scan(body, (model_state, zeros), (numbered, slopes))
        return grads, model_state, logs

    return function


def split(batch: Batch, count: int) -> tuple[Batch, jax.Array]:
    """Each (b, ...) -> (k, n, ...), and the numbers of the parts (k,).

    Part i takes rows i, i + k, ...: the rows of a device stay on it.
    """
    rows = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, 0), batch)
    return rows, jnp.arange(count)


def join(found: Any, rows: int) -> Any:
    """Outputs of the parts (k, n v, ...) -> of the batch (b v, ...), in the order of its samples.

    Args:
      rows: n. What is a number for a part, such as a learned scale, is the same for all of them.
    """

    def joined(x):
        if x.ndim == 1:
            return x.mean()
        x = jnp.moveaxis(x.reshape(len(x), rows, -1, *x.shape[2:]), 0, 1)
        return x.reshape(-1, *x.shape[3:])

    return jax.tree.map(joined, found)
