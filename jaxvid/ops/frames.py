"""Operations along the frames of a clip.

Shapes: b batch, t frames, h height, w width, c channels, k taps over time.
"""

import jax
import jax.numpy as jnp

from jaxvid.errors import UserError


def check_count(frames: int, video: jax.Array) -> None:
    """Raise an error if a clip has another number of frames than the network is for.

    Args:
      frames: Number of frames that the network is for, its option `frames`.
      video: (b, t, h, w, c).

    Raises:
      UserError: t is another number.
    """
    if video.shape[1] != frames:
        raise UserError(
            f"config.model.frames={frames}, but clips have {video.shape[1]} frames; set"
            " config.data.recipe.frames to the same number"
        )


def unmixed(x: jax.Array) -> jax.Array:
    """Return the argument: the frames of a clip do not exchange features."""
    return x


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve each channel over time with a kernel of its own for each clip.

    Zeros pad the clip by half of the kernel, whose length is odd.

    Args:
      x: (b, t, h, w, c).
      kernel: (b, k, c).

    Returns:
      (b, t, h, w, c).
    """
    t, taps = x.shape[1], kernel.shape[1]
    x = jnp.pad(x, ((0, 0), (taps // 2, taps // 2), (0, 0), (0, 0), (0, 0)))
    y = x[:, :t] * kernel[:, 0, None, None, None]
    for i in range(1, taps):
        y = y + x[:, i : i + t] * kernel[:, i, None, None, None]
    return y
