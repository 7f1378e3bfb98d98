"""Operations along the frames of a clip.

Shapes: b batch, t frames, h height, w width, c channels, k taps over time.
"""

import jax
import jax.numpy as jnp


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
