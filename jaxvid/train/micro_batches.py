"""Gradient of a global batch that goes through the model in micro-batches, one after the other.

Shapes: b batch, k micro-batches, n samples of a micro-batch, v views.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxvid.tasks.base import Batch

# (params, model_state, batch, rng) -> ...
Forward = Callable[[Any, Any, Batch, jax.Array], tuple[Any, Any]]  # outputs, new model_state
Loss = Callable[[Any, Any, Batch, jax.Array], tuple[jax.Array, Any]]  # loss, (model_state, logs)
Gradient = Callable[[Any, Any, Batch, jax.Array], tuple[Any, Any]]  # grads, (model_state, logs)


def averaged(loss_fn: Loss, count: int) -> Gradient:
    """Return the gradient of the full batch as the mean over `count` micro-batches.

    The weight of a micro-batch is its number of unmasked samples, so the mean is exact for losses
    that are means over samples.
    """
    gradient = jax.grad(loss_fn, has_aux=True)

    def function(params, model_state, batch, rng):
        numbered = split(batch, count)
        weight = numbered[0]["mask"].sum(1) / jnp.maximum(batch["mask"].sum(), 1)

        def body(carry, part):
            model_state, total = carry
            (batch, i), weight = part
            rng_i = jax.random.fold_in(rng, i)
            grads, (model_state, logs) = gradient(params, model_state, batch, rng_i)
            total = jax.tree.map(lambda t, x: t + weight * x, total, (grads, logs))
            return (model_state, total), None

        first = jax.tree.map(lambda x: x[0], numbered[0])
        grads, (_, logs) = jax.eval_shape(gradient, params, model_state, first, rng)
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (grads, logs))
        (model_state, total), _ = jax.lax.scan(body, (model_state, zeros), (numbered, weight))
        return total[0], (model_state, total[1])

    return function


def compared(forward: Forward, loss: Callable[[Any, Batch], Any], count: int) -> Gradient:
    """Return the gradient of a loss that compares the samples of the full batch with each other.

    First the outputs of all micro-batches are computed, then the loss of all of them, then the
    gradient of each micro-batch. This costs one more forward pass. Memory is needed for the outputs
    of the batch, but only for the activations of one micro-batch (Gao et al., 2021,
    https://arxiv.org/abs/2101.06983).

    Args:
      forward: (params, model_state, batch, rng) -> outputs, new model_state.
      loss: (outputs, batch) -> loss, logs.
      count: number of micro-batches.
    """

    def of_part(params, model_state, numbered, rng):
        batch, i = numbered
        return forward(params, model_state, batch, jax.random.fold_in(rng, i))

    def function(params, model_state, batch, rng):
        numbered = split(batch, count)
        outputs = jax.lax.map(lambda part: of_part(params, model_state, part, rng)[0], numbered)

        def loss_fn(outputs):
            value, logs = loss(join(outputs, len(batch["mask"]) // count), batch)
            return value, logs | {"loss": value}

        slopes, logs = jax.grad(loss_fn, has_aux=True)(outputs)

        def body(carry, part):
            model_state, total = carry
            numbered, slope = part
            _, back, model_state = jax.vjp(
                lambda params: of_part(params, model_state, numbered, rng), params, has_aux=True
            )
            return (model_state, jax.tree.map(jnp.add, total, back(slope)[0])), None

        zeros = jax.tree.map(jnp.zeros_like, params)
        (model_state, grads), _ = jax.lax.scan(body, (model_state, zeros), (numbered, slopes))
        return grads, (model_state, logs)

    return function


def split(batch: Batch, count: int) -> tuple[Batch, jax.Array]:
    """Split each array (b, ...) into (k, n, ...), and return them with their numbers (k,).

    Micro-batch i has the rows i, i + k, etc., so that the rows of a device stay on it.
    """
    rows = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, 0), batch)
    return rows, jnp.arange(count)


def join(outputs: Any, rows: int) -> Any:
    """Join the outputs of micro-batches (k, n v, ...) to (b v, ...), in the order of the samples.

    An output that is one number for a micro-batch, such as a learned scale, must be the same for
    all of them.

    Args:
      outputs: tree of arrays.
      rows: n, the number of samples of a micro-batch.
    """

    def joined(x):
        if x.ndim == 1:
            return x.mean()
        x = jnp.moveaxis(x.reshape(len(x), rows, -1, *x.shape[2:]), 0, 1)
        return x.reshape(-1, *x.shape[3:])

    return jax.tree.map(joined, outputs)
