"""Losses, one value a sample; the task weighs them with the mask.

Shapes: b batch, c classes.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax


def masked_mean(values, mask):
    """Mean of `values` (b,) over the rows whose `mask` is 1; 0 when there is none."""
    return (values * mask).sum() / jnp.maximum(mask.sum(), 1)


def cross_entropy(logits, target):
    """Softmax cross-entropy (b,) of logits (b, c) with target probabilities (b, c)."""
    return optax.softmax_cross_entropy(logits, target)


def negative_log_likelihood(log_probability, target):
    """Return -log(p) (b,) for log-probabilities (b, c) and target probabilities (b, c)."""
    return -(target * log_probability).sum(-1)


def class_balanced_weights(counts: Sequence[int], beta: float) -> np.ndarray:
    """Return a weight for each class, (1 - beta) / (1 - beta^n) for n samples (Cui et al., 2019).

    The mean of the weights is 1. A class without samples counts as one with a sample.

    Args:
      counts: training samples of each class.
      beta: 0 weighs all classes equally. Towards 1, weights are in proportion to 1 / n.
    """
    effective = 1 - np.power(np.float64(beta), np.maximum(counts, 1))
    weights = (1 - beta) / effective
    return (weights / weights.mean()).astype(np.float32)


def focal(loss, alpha, gamma):
    """alpha (1 - p)^gamma times cross-entropies -log(p): less of what is right already.

    Lin et al., 2017; any shape. (1, 0) changes nothing.
    """
    return alpha * (1 - jnp.exp(-loss)) ** gamma * loss if gamma else alpha * loss


def sigmoid_focal(logits, target, alpha=0.25, gamma=2.0):
    """Return the focal loss of independent classes, for logits and targets of the same shape.

    Lin et al., 2017, https://arxiv.org/abs/1708.02002. Targets are 0..1. `alpha` is the weight of
    the target 1, and 1 - `alpha` that of 0.
    """
    p = jax.nn.sigmoid(logits)
    right = p * target + (1 - p) * (1 - target)
    each = optax.sigmoid_binary_cross_entropy(logits, target)
    return (alpha * target + (1 - alpha) * (1 - target)) * (1 - right) ** gamma * each


# Proposals: few bins and cells are positive, so what a rule balances is weighed over the batch.

RATIO = (1.05, 21.0)  # of all to the positives; beyond, BSN's authors let the balance be


def balanced_weights(positive, negative, entries):
    """Weights by which both kinds count alike (Lin et al., 2018, BSN): two arrays of one shape.

    Args:
      positive, negative: 0/1, of each element; neither leaves it out.
      entries: how many elements there are, over all of which the loss is then a mean.
    """
    ratio = jnp.clip(entries / jnp.maximum(positive.sum(), 1), *RATIO)
    return positive * ratio / 2, negative * ratio / 2 / (ratio - 1)


def weighted_log_loss(probability, positive, negative, epsilon=1e-5):
    """Binary cross-entropy of probabilities, each element with the weights of both answers."""
    return -(
        positive * jnp.log(probability + epsilon) + negative * jnp.log(1 - probability + epsilon)
    )


def overlap_weights(rng, overlap, valid, high=0.7, low=0.3):
    """Draws one that fits fairly, and one that hardly does, for each segment that fits an action.

    As published (Lin et al., 2019, BMN), to the corner cases: where there are fewer of a kind than
    of those that fit well, every element, also one that is not valid, gains 1.

    Args:
      overlap: IoU of each element with the action that it fits best.
      valid: 0/1; those that hardly fit are drawn from these.

    Returns:
      Weights of the elements, which multiply the difference before it is squared.
    """
    good = (overlap > high).astype(jnp.float32)
    fair = ((overlap <= high) & (overlap > low)).astype(jnp.float32)
    poor = ((overlap <= low) & (overlap > 0)) * valid

    chance = jax.random.uniform(rng, overlap.shape)

    def drawn(kind):
        return kind * chance > 1 - good.sum() / kind.sum()

    return good + drawn(fair) + drawn(poor)
