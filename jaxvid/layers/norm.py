"""Normalization over the batch.

Shapes: b batch, c channels.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count
from jaxvid.ops.batch_norm import normalize, normalize_masked


class BatchNorm(nn.Module):
    """Batch normalization (Ioffe & Szegedy, 2015) with the running statistics of PyTorch.

    If a batch is sharded over devices, the statistics are those of the whole batch (SyncBN). The
    running variance is unbiased: n / (n - 1) times the variance that is used to normalize.

    In training, if the collection "batch_moments" is mutable, the layer stores the mean and the
    mean square of each channel there. Precise BN uses them (train/batch_norm.py).

    Attributes:
      momentum: share of the old running statistics that is kept in a step (1 - PyTorch's momentum).
      groups: number of parts of consecutive rows that are normalized with their own statistics, as
        on this number of GPUs without SyncBN, or in sub-batch normalization.
      frozen: normalize with the running statistics in training, too, and do not update them
        (`norm_eval`).
      update: update the running statistics in training.
      dtype: dtype of the result; parameters and statistics are float32.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    groups: int = 1
    frozen: bool = False
    update: bool = True
    scale_init: Callable = nn.initializers.ones
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train, mask=None):  # (b, ..., c) -> the same
        """Normalize.

        Args:
          x: The features.
          train: Use the statistics of the batch, and update the running ones.
          mask: Which elements count in the statistics of the batch; it broadcasts to (b, ...). None
            means all of them.
        """
        shape = (x.shape[-1],)
        scale = self.param("scale", self.scale_init, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape)
        if not train or self.frozen:
            return self._normalize(x, running_mean.value, running_var.value, scale, bias)
        if len(x) % self.groups:
            raise ValueError(f"a batch of {len(x)} has no {self.groups} equal groups")
        parts = x.reshape(self.groups, len(x) // self.groups, *x.shape[1:])
        given = scale, bias, self.epsilon, self.dtype
        n = parts[0, ..., 0].size
        if mask is None:
            y, mean, var = normalize(parts, *given)
        else:
            mask = jnp.broadcast_to(mask, x.shape[:-1]).reshape(parts.shape[:-1])
            y, mean, var = normalize_masked(parts, mask, *given)
            n = mask.reshape(self.groups, -1).sum(1, keepdims=True)
        if self.update and not self.is_initializing():
            kept = (running_mean, mean), (running_var, var * (n / jnp.maximum(n - 1, 1)))
            for running, now in kept:
                running.value = self.momentum * running.value + (1 - self.momentum) * now.mean(0)
            if self.is_mutable_collection("batch_moments"):
                self.put_variable("batch_moments", "mean", mean.mean(0))
                self.put_variable("batch_moments", "square", (var + jnp.square(mean)).mean(0))
        return y.reshape(x.shape)

    def _normalize(self, x, mean, var, scale, bias):
        if jax.default_backend() == "cpu":  # XLA would compute x again for every use
            x = jax.lax.optimization_barrier(x)
        y = (x.astype(jnp.float32) - mean) * (jax.lax.rsqrt(var + self.epsilon) * scale) + bias
        return y.astype(self.dtype)


class NormalizedNet(nn.Module):
    """A network with batch normalization, which families of backbones derive theirs from.

    Attributes:
      bn_groups: Number of equal groups of consecutive samples that a batch is divided into. Each
        group is normalized with its own statistics, as on that number of GPUs without SyncBN.
      bn_frozen: Normalize with the running statistics in training, too, and do not update them.
      remat: Recompute the blocks in the backward pass instead of storing their activations. This
        saves memory and makes training slower.
    """

    bn_groups: Count = 1
    bn_frozen: bool = False
    remat: bool = False
    dtype: Any = jnp.float32

    @property
    def norm(self) -> Callable:
        """Makes the normalization layers."""
        return _maker(self.bn_groups, self.bn_frozen)


@cache  # modules that have the same options as attributes are equal
def _maker(groups: int, frozen: bool) -> Callable:
    return partial(BatchNorm, groups=groups, frozen=frozen)
