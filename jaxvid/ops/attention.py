"""Softmax attention. No other file computes it, so a faster formulation needs no other change.

Shapes: n queries, m keys, g heads, d channels of a query or a key, e of a value. What stands before
them, such as a batch of windows, is the same for queries, keys and values.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    bias: jax.Array | None = None,
    mask: np.ndarray | jax.Array | None = None,
    causal: bool = False,
    scale: float | None = None,
    drop: Callable[[jax.Array], jax.Array] | None = None,
) -> jax.Array:
    """Average values over the keys, with weights softmax(scale * q k + bias + mask).

    Args:
      q: (..., n, g, d).
      k: (..., m, g, d).
      v: (..., m, g, e).
      bias: Learned numbers for pairs of queries and keys; broadcast to (..., g, n, m).
      mask: Constants that broadcast to (..., g, n, m). Booleans are False where a key is hidden
        from a query; numbers are added to the scores. Each query must see a key.
      causal: Hide from query i the keys after i.
      scale: Factor of the products; None is d ** -0.5.
      drop: Function that is applied to the weights (..., g, n, m), such as dropout.

    Returns:
      (..., n, g, e) in the dtype of `v`. Scores and softmax are float32.
    """
    q, k, v = (jnp.moveaxis(x, -2, -3) for x in (q, k, v))
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    scores = jnp.einsum("...nd,...md->...nm", q * factor, k).astype(jnp.float32)
    if bias is not None:
        scores = scores + bias
    if mask is not None and mask.dtype == bool:
        scores = jnp.where(mask, scores, -jnp.inf)
    elif mask is not None:
        scores = scores + lax.stop_gradient(mask)
    if causal:
        scores = jnp.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -jnp.inf)
    weights = jax.nn.softmax(scores).astype(v.dtype)
    return jnp.moveaxis((drop(weights) if drop else weights) @ v, -3, -2)
