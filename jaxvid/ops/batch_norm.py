"""Normalization of a batch with its own statistics.

Shapes: b batch, c channels, g groups.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalize(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float, dtype: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalize each group of a batch with its own mean and variance.

    The gradient is that of the result alone: the statistics are constants for it.

    Args:
      x: (g, b, ..., c).
      scale, bias: (c,).
      epsilon: Number that is added to the variance.
      dtype: Dtype of the result.

    Returns:
      The result (g, b, ..., c), and the float32 mean and biased variance (g, c).
    """
    return _forward(x, scale, bias, epsilon, dtype)[0]


# The gradient is written out for its passes over memory. Autodiff sums the gradient over the batch
# once for the bias and once more for the mean. Only x is stored, in its own dtype.


def _forward(x, scale, bias, epsilon, dtype):
    axes = tuple(range(1, x.ndim - 1))
    # Behind the barrier, XLA computes both sums in one pass over x. On a GPU, it otherwise reads
    # the result of a matrix product twice. On a CPU, it would compute x again for every use.
    x = jax.lax.optimization_barrier(x)
    values = x.astype(jnp.float32)
    mean = values.mean(axes, keepdims=True)
    var = jnp.square(values).mean(axes, keepdims=True) - jnp.square(mean)
    var = jnp.where(var > 0, var, 0)  # rounding may make it negative
    rate = jax.lax.rsqrt(var + epsilon)
    y = (values - mean) * (rate * scale) + bias
    shape = (len(x), x.shape[-1])
    return (y.astype(dtype), mean.reshape(shape), var.reshape(shape)), (x, scale, mean, var)


def _backward(epsilon, dtype, saved, gradients):
    x, scale, mean, var = saved
    axes = tuple(range(1, x.ndim - 1))
    of_y = gradients[0]
    if jax.default_backend() == "cpu":  # it would be computed from all later blocks for every use
        of_y = jax.lax.optimization_barrier(of_y)
    gradient = of_y.astype(jnp.float32)
    centered = x.astype(jnp.float32) - mean
    rate = jax.lax.rsqrt(var + epsilon)
    of_bias = gradient.sum(axes, keepdims=True)
    of_scale = (gradient * centered).sum(axes, keepdims=True) * rate
    count = x[0, ..., 0].size
    slope = jnp.where(var > 0, rate * of_scale / count, 0)
    of_x = (gradient - of_bias / count - centered * slope) * (rate * scale)

    def per_channel(sums):
        return sums.sum(0).reshape(scale.shape)

    return of_x.astype(x.dtype), per_channel(of_scale), per_channel(of_bias)


normalize.defvjp(_forward, _backward)


def normalize_masked(
    x: jax.Array, mask: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float, dtype: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalize like `normalize`, with the statistics of the elements in `mask` (g, b, ...)."""
    axes = tuple(range(1, x.ndim - 1))
    values, weight = x.astype(jnp.float32), mask[..., None].astype(jnp.float32)
    count = jnp.maximum(weight.sum(axes, keepdims=True), 1)
    mean = (weight * values).sum(axes, keepdims=True) / count
    var = (weight * jnp.square(values - mean)).sum(axes, keepdims=True) / count
    y = (values - mean) * (jax.lax.rsqrt(var + epsilon) * scale) + bias
    shape = (len(x), x.shape[-1])
    return y.astype(dtype), mean.reshape(shape), var.reshape(shape)
