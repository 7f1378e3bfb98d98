"""Embeddings of relative positions on a grid, decomposed into its axes (Li et al., 2022).

https://arxiv.org/abs/2112.01526

The score of a query and a key is the sum of their product and of the products of the query with
three embeddings: those of the distance of the two in time, in height and in width.

Shapes: b batch, n queries, m keys, g heads, d channels of a head, r rows of a table.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.ops.position import interpolation

Grid = tuple[int, int, int]
PRODUCTS = "bthwgd,tmd->bthwgm", "bthwgd,hmd->bthwgm", "bthwgd,wmd->bthwgm"


def with_relative_positions(
    q: jax.Array,
    k: jax.Array,
    tables: Sequence[jax.Array],
    grids: tuple[Grid, Grid],
    first: int,
    scale: float,
) -> tuple[jax.Array, jax.Array]:
    """Add channels to queries and keys, so that their product is the score with the embeddings.

    A query gets its products with the embeddings of all distances, and a key gets the indicators of
    its place on each axis. No array has a number for each query and key, as a bias would.

    Args:
      q: (b, first + n, g, d).
      k: (b, first + m, g, d).
      tables: (r, d) for time, height and width: the embedding of each distance, see `rows`. A table
        of another length is resized.
      grids: (t, h, w) of the n queries and of the m keys.
      first: Number of tokens before the grid, such as 1 for a class token. They have no embeddings.
      scale: Factor of the products of queries and keys, but not of those with the embeddings.

    Returns:
      (b, first + n, g, e) and (b, first + m, g, e), e = d + t + h + w of the keys. The scale of
      their attention is 1.
    """
    queries, keys = grids
    x = q[:, first:].reshape(q.shape[0], *queries, *q.shape[2:])
    scores = []
    for product, table, *lengths in zip(PRODUCTS, tables, queries, keys, strict=True):
        embeddings = resized(table, 2 * max(lengths) - 1)[rows(*lengths)]
        scores.append(jnp.einsum(product, x, embeddings.astype(q.dtype)))
    added = jnp.concatenate(scores, -1).reshape(*q[:, first:].shape[:3], -1)
    added = jnp.pad(added, ((0, 0), (first, 0), (0, 0), (0, 0)))
    places = np.indices(keys).reshape(3, -1)
    marks = np.concatenate([np.eye(m)[at] for m, at in zip(keys, places, strict=True)], -1)
    marks = jnp.asarray(np.pad(marks, ((first, 0), (0, 0)))[:, None], k.dtype)
    marks = jnp.broadcast_to(marks, (*k.shape[:3], marks.shape[-1]))
    return jnp.concatenate([q * scale, added], -1), jnp.concatenate([k, marks], -1)


def rows(n: int, m: int) -> np.ndarray:
    """Return the row of a table of 2 max(n, m) - 1 distances for each query and key on an axis.

    If there are fewer keys than queries, a key stands for several places, and the other way round.
    Places and distances are float32 numbers, cut to integers: published weights were trained so.

    Returns:
      integers (n, m).
    """
    of_query, of_key = max(m / n, 1.0), max(n / m, 1.0)
    at_query = np.arange(n, dtype=np.float32)[:, None] * np.float32(of_query)
    at_key = np.arange(m, dtype=np.float32) * np.float32(of_key)
    return (at_query - at_key + np.float32((m - 1) * of_key)).astype(int)


def resized(table: jax.Array, length: int) -> jax.Array:
    """Return a table (r, d) with another number of rows, by linear interpolation."""
    if len(table) == length:
        return table
    return jnp.asarray(interpolation(len(table), length, "linear")) @ table
