"""Position embeddings of tokens.

Shapes: t h w grid of tokens, k rows for tokens that are in no grid, c channels.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.ops.position import METHODS, interpolation, sine_cosine

Grid = tuple[int, int, int]


class PositionTable(nn.Module):
    """One embedding for each token of a grid: grid (t, h, w) -> (k + t h w, c), row by row.

    Attributes:
      grid: The grid that the table is for. For a call with another grid, the table is resized:
        linearly in time, and by bicubic interpolation in space.
      width: Number of channels c.
      first: Number k of rows before those of the grid, such as 1 for a class token.
      learned: Learn the table as the parameter "table". If False, it is the fixed sine-cosine
        table.
      table_init: Initializer of a learned table.
      dtype: Type of the result.
    """

    grid: Grid
    width: int
    first: int = 0
    learned: bool = True
    table_init: nn.initializers.Initializer = nn.initializers.truncated_normal(0.02)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, grid: Grid) -> jax.Array:
        shape = self.first + math.prod(self.grid), self.width
        table = self.param("table", self.table_init, shape) if self.learned else sine_cosine(*shape)
        if grid != self.grid:
            resize = map(interpolation, self.grid, grid, METHODS)
            cells = table[self.first :].reshape(*self.grid, -1)
            cells = jnp.einsum("it,jh,kw,thwc->ijkc", *resize, cells)
            table = jnp.concatenate([table[: self.first], cells.reshape(-1, self.width)])
        return jnp.asarray(table, self.dtype)
