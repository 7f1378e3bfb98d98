"""What attention in several heads begins with.

Shapes: n tokens, c channels, g heads, d channels of a head.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange


class SplitHeads(nn.Module):
    """Queries, keys and values in one linear layer: (..., n, c) -> three of (..., g, n, d).

    The kernel is a matrix, as published, but is cut into heads before it meets the tokens: where
    devices share the heads of a layer, a matrix is gathered, and no tokens are.
    """

    heads: int
    dtype: Any
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x):
        c = x.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (c, 3 * c)).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (3 * c,)).astype(self.dtype)
        kernel = rearrange(kernel, "c (s g d) -> c s g d", s=3, g=self.heads)
        y = jnp.einsum("...nc,csgd->...nsgd", x.astype(self.dtype), kernel)
        return rearrange(y + bias.reshape(y.shape[-3:]), "... n s g d -> s ... g n d")
