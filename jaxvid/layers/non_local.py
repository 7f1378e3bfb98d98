"""Non-local layer (Wang et al., 2018), https://arxiv.org/abs/1711.07971, and ResNets with it.

Shapes: b batch, t h w grid, c channels, n positions, m positions after pooling, d inner channels,
g = 1 head.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from jaxvid.config.values import Natural
from jaxvid.layers import resnet
from jaxvid.layers.conv import Conv, ConvNorm
from jaxvid.layers.norm import BatchNorm
from jaxvid.ops.attention import attention
from jaxvid.ops.pooling import max_pool

MODES = ("embedded_gaussian", "gaussian", "dot_product")


class NonLocal(nn.Module):
    """Adds to every position of a clip a weighted mean of all positions; the shape is kept.

    Attributes:
      mode: Weights of the mean. "embedded_gaussian" is the softmax of products of projections,
        "gaussian" the softmax of products of the features themselves, and "dot_product" products
        of projections divided by the number of positions.
      scale: Divide the dot products of "embedded_gaussian" by the square root of their number of
        channels.
    """

    mode: str = "embedded_gaussian"
    scale: bool = False
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, h, w, c)
        if self.mode not in MODES:
            raise ValueError(f'the mode of a non-local block is one of {MODES}, not "{self.mode}"')
        width = x.shape[-1] // 2
        # Keys and values come from every second row and column: a quarter of the pairs.
        g = subsample(self._project(width, "g")(x))
        if self.mode == "gaussian":
            theta, phi = x, subsample(x)
        else:
            theta = self._project(width, "theta")(x)
            phi = subsample(self._project(width, "phi")(x))
        theta, phi, g = (a.reshape(len(a), -1, a.shape[-1]) for a in (theta, phi, g))
        if self.mode == "dot_product":
            pairs = jnp.einsum("bnd,bmd->bnm", theta, phi).astype(jnp.float32)
            y = (pairs / pairs.shape[-1]).astype(self.dtype) @ g
        else:
            scaled = self.scale and self.mode == "embedded_gaussian"
            one_head = (a[:, :, None] for a in (theta, phi, g))
            y = attention(*one_head, scale=width**-0.5 if scaled else 1.0)
        y = y.reshape(*x.shape[:-1], width)
        # It starts at 0: a new block leaves what is around it as it was.
        norm = partial(self.norm, scale_init=nn.initializers.zeros)
        out = ConvNorm(x.shape[-1], (1, 1, 1), (), False, norm, self.dtype, name="conv_out")
        return x + out(y, train=train)

    def _project(self, width, name):
        init = nn.initializers.normal(0.01)
        return Conv(width, (1, 1, 1), use_bias=True, kernel_init=init, dtype=self.dtype, name=name)


def subsample(x):
    """Maximum of every 2 x 2 pixels."""
    return max_pool(x, (2, 2))


class NonLocalBlock(resnet.Block):
    """A residual block and a non-local layer after it, "non_local".

    Attributes:
      non_local: Makes the layer; None leaves it out.
    """

    non_local: Callable | None = None

    @nn.compact
    def __call__(self, x, train):
        x = super().__call__(x, train)
        return self.non_local(name="non_local")(x, train=train) if self.non_local else x


class NonLocalResNet(resnet.ResNet):
    """A residual network with non-local layers after some of its blocks.

    Attributes:
      non_local: Kind of the non-local blocks (Wang et al., 2018). "" means no such blocks.
      non_local_scale: Divide the dot products of "embedded_gaussian" by the square root of their
        number of channels.
      non_local_blocks: For each stage, the indices of the blocks that are followed by a non-local
        block.
    """

    non_local: Literal["", "embedded_gaussian", "gaussian", "dot_product"] = ""
    non_local_scale: bool = False
    non_local_blocks: tuple[tuple[Natural, ...], ...] = ((), (0, 2), (0, 2, 4), ())

    @nn.nowrap
    def block(self, stage, i, kind=NonLocalBlock, **fields):
        layer = None
        if self.has_non_local(stage, i):
            layer = partial(NonLocal, self.non_local, self.non_local_scale, self.norm, self.dtype)
        return super().block(stage, i, kind, **{"non_local": layer, **fields})

    def has_non_local(self, stage: int, i: int) -> bool:
        """Return whether a non-local layer follows block `i` of a stage, both from 0."""
        return bool(self.non_local) and i in self.non_local_blocks[stage]
