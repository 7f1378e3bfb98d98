"""Position embeddings of tokens, and the size of the clips that they are for.

Shapes: b batch, T H W pixels, t h w grid of tokens, k rows for tokens that are in no grid, c
channels.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.errors import UserError
from jaxvid.ops.position import sine_cosine

Grid = tuple[int, int, int]


class PositionTable(nn.Module):
    """One embedding for each token of a grid (t, h, w), row by row: () -> (k + t h w, c).

    A published table for another grid is resized when it is loaded, see
    `weights.inflate.position_table`.

    Attributes:
      grid: The grid (t, h, w).
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
    def __call__(self) -> jax.Array:
        shape = self.first + math.prod(self.grid), self.width
        table = self.param("table", self.table_init, shape) if self.learned else sine_cosine(*shape)
        return jnp.asarray(table, self.dtype)


def check_clip(video: jax.Array, size: int | tuple[int, int], frames: int | None = None) -> None:
    """Check that a video (b, T, H, W, 3) has the size that the position table of a model is for.

    Args:
      size: Height and width in pixels, or one number for both.
      frames: Number of frames; None if the model treats frames one by one.

    Raises:
      UserError: it has another size; the message has both sizes.
    """
    t, height, width = video.shape[-4:-1]
    wanted = size if isinstance(size, tuple) else (size, size)
    if (height, width) == wanted and frames in (None, t):
        return
    kind = "frames" if frames is None else f"clips of {frames} frames"
    given = "" if frames is None else f"{t} frames of "
    keys = ["size"] if frames is None else ["frames", "size"]
    model, recipe = (" and ".join(f"{of}.{key}" for key in keys) for of in ("model", "data.recipe"))
    raise UserError(
        f"the model takes {kind} of {wanted[0]} x {wanted[1]} pixels, and these have"
        f" {given}{height} x {width} pixels: {model} in the config must equal {recipe}"
    )
