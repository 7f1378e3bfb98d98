"""Heads and the model that joins a backbone to one.

Shapes: b batch (views folded in), c channels.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp


class PoolClassifier(nn.Module):
    """Mean over all positions, dropout, linear: the I3D head (Carreira & Zisserman, 2017).

    Attributes:
      each_frame: drop and classify each frame, then average over time (Lin et al., 2019, TSM).
      init_std: of the weights at the start.
    """

    num_classes: int
    dropout: float = 0.5
    dtype: Any = jnp.float32
    each_frame: bool = False
    init_std: float = 0.01

    @nn.compact
    def __call__(self, x, *, train):  # (b, ..., c) or (b, t, h, w, c) -> (b, classes), float32
        x = x.mean(axis=(2, 3) if self.each_frame else tuple(range(1, x.ndim - 1)))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        init = nn.initializers.normal(self.init_std)
        x = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=init, name="fc")(x)
        x = x.astype(jnp.float32)
        return x.mean(1) if self.each_frame else x


class Recognizer(nn.Module):
    """Backbone, then head: what the backbone takes, such as video, -> logits (b, classes)."""

    backbone: nn.Module
    head: nn.Module

    def __call__(self, *arrays, train, **named):
        return self.head(self.backbone(*arrays, **named, train=train), train=train)
