"""Heads and the model that joins a backbone to one.

Shapes: b batch (views folded in), c channels.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp


class PoolClassifier(nn.Module):
    """Mean over all positions, dropout, linear: the I3D head (Carreira & Zisserman, 2017)."""

    num_classes: int
    dropout: float = 0.5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, ..., c) -> (b, classes), float32
        x = x.mean(axis=tuple(range(1, x.ndim - 1)))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        init = nn.initializers.normal(0.01)
        x = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=init, name="fc")(x)
        return x.astype(jnp.float32)


class Recognizer(nn.Module):
    """Backbone, then head: video (b, t, h, w, 3) -> logits (b, classes)."""

    backbone: nn.Module
    head: nn.Module

    def __call__(self, video, *, train):
        return self.head(self.backbone(video, train=train), train=train)
