"""Residual networks for the spectrograms of sounds.

Shapes: b batch, t time steps (rows of the spectrogram), f frequencies, c channels.
"""

import jax
import jax.numpy as jnp

from jaxvid.config.values import Count
from jaxvid.layers import resnet

# A published clip: 128 rows of 80 frequencies.
ROWS, BINS = 128, 80


class SpectrogramResNet(resnet.ResNet):
    """audio (b, t, f, 1) -> features (b, t / 32, f / 32, c): a 2-D ResNet over time and frequency.

    Attributes:
      strides: Stride of each stage, over time and frequency.
      stem: Kernel size of the first convolution, over time and frequency.
    """

    stem: tuple[Count, Count] = (7, 7)

    def __call__(self, audio: jax.Array, *, train: bool) -> jax.Array:
        return super().__call__(audio, train=train)


def example(rows: int = ROWS, bins: int = BINS) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shape and dtype of a batch of two spectrograms, by name."""
    return {"audio": jax.ShapeDtypeStruct((2, rows, bins, 1), jnp.float32)}
