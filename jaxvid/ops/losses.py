"""Losses, one value a sample; the task weighs them with the mask.

Shapes: b batch, c classes.
"""

import jax.numpy as jnp
import optax


def masked_mean(values, mask):
    """Mean of `values` (b,) over the rows whose `mask` is 1; 0 when there is none."""
    return (values * mask).sum() / jnp.maximum(mask.sum(), 1)


def cross_entropy(logits, target):
    """Softmax cross-entropy (b,) of logits (b, c) with target probabilities (b, c)."""
    return optax.softmax_cross_entropy(logits, target)


def binary_cross_entropy(logits, target):
    """Sigmoid cross-entropy averaged over classes, (b,): several labels may hold at once."""
    return optax.sigmoid_binary_cross_entropy(logits, target).mean(-1)
