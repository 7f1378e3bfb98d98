"""Heads and the model that joins a backbone to one.

Shapes: b batch (views folded in), c channels.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class PoolClassifier(nn.Module):
    """Mean over all positions, dropout, linear: the I3D head (Carreira & Zisserman, 2017).

    If there are features of several pathways, their means are joined, the last pathway's first.

    Attributes:
      dropout: Share of the features that is dropped in training.
      init_std: Standard deviation of the initial weights.
      norm_epsilon: Normalize the mean, with this number added to the variance; 0 does not.
    """

    num_classes: int
    dropout: float = 0.5
    dtype: Any = jnp.float32
    init_std: float = 0.01
    norm_epsilon: float = 0.0

    @nn.compact
    def __call__(self, x, *, train):  # (b, ..., c), or a tuple of them -> (b, classes), float32
        pathways = reversed(jax.tree.leaves(x))
        x = jnp.concatenate([x.mean(axis=tuple(range(1, x.ndim - 1))) for x in pathways], -1)
        if self.norm_epsilon:
            x = nn.LayerNorm(epsilon=self.norm_epsilon, dtype=self.dtype, name="fc_norm")(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        init = nn.initializers.normal(self.init_std)
        x = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=init, name="fc")(x)
        return x.astype(jnp.float32)


class FrameClassifier(PoolClassifier):
    """Scores of each frame by itself, averaged over time."""

    def __call__(self, x, *, train):  # (b, t, h, w, c) -> (b, classes)
        scores = super().__call__(x.reshape(-1, *x.shape[2:]), train=train)
        return scores.reshape(*x.shape[:2], -1).mean(1)


class Recognizer(nn.Module):
    """Backbone, then head: what the backbone takes, such as video, -> logits (b, classes)."""

    backbone: nn.Module
    head: nn.Module

    def __call__(self, *arrays, train, **named):
        return self.head(self.backbone(*arrays, **named, train=train), train=train)
