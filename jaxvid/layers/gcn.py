"""Networks on skeleton graphs, of blocks with a graph convolution and a temporal convolution.

Shapes: b batch (in blocks: times people), m people, t frames, j joints, c channels, k subsets of
neighbors.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxvid.config.values import Count, Rate
from jaxvid.layers.conv import Conv
from jaxvid.layers.norm import BatchNorm
from jaxvid.layers.tcn import TemporalConv
from jaxvid.ops import graph


class SkeletonNet(nn.Module):
    """Backbone for skeletons: keypoint (b, m, t, j, c) -> features (b, m, t', j, widths[-1]).

    Each person goes through the blocks separately. Missing persons are zeros.

    Attributes:
      spatial: spatial unit of each block, see `Block`.
      temporal: temporal unit of each block, see `Block`.
      layout: Layout of the skeleton, a name in `jaxvid.skeletons`.
      widths: Channels of each block.
      strides: Stride in time of each block.
      bn_by_person: Normalize the input of each person with separate statistics for each position in
        the list of people, instead of joint statistics of all people. Samples must then have the
        same number of people as in training.
      tcn_dropout: Dropout rate after the temporal unit of each block except the first, in training.
      bn_groups: Number of equal groups of consecutive samples that a batch is divided into. Each
        group is normalized with its own statistics, as on that number of GPUs without SyncBN.
      bn_frozen: Normalize with the running statistics in training, too, and do not update them.
      remat: Recompute the blocks in the backward pass instead of storing their activations. This
        saves memory and makes training slower.
      dtype: compute dtype; parameters and normalization statistics stay float32.
    """

    spatial: type[nn.Module]
    temporal: type[nn.Module]
    layout: str
    widths: tuple[Count, ...] = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
    strides: tuple[Count, ...] = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)
    bn_by_person: bool = False
    tcn_dropout: Rate = 0.0
    bn_groups: Count = 1
    bn_frozen: bool = False
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, keypoint, *, train):
        m, j = keypoint.shape[1], keypoint.shape[3]
        joints = len(graph.edges(self.layout))
        if j != joints:
            raise ValueError(f'keypoint has {j} joints, layout "{self.layout}" has {joints}')
        norm = partial(BatchNorm, groups=self.bn_groups, frozen=self.bn_frozen)
        block = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        block = partial(block, self.spatial, self.temporal, self.layout, norm, self.dtype)
        flat = "b t (m j c)" if self.bn_by_person else "(b m) t (j c)"
        x = rearrange(keypoint, f"b m t j c -> {flat}")
        x = norm(dtype=self.dtype, name="data_bn")(x, train=train)
        x = rearrange(x, f"{flat} -> (b m) t j c", m=m, j=j)
        for i, (width, stride) in enumerate(zip(self.widths, self.strides, strict=True)):
            dropout = self.tcn_dropout if i else 0.0
            x = block(width, stride, dropout, residual=i > 0, name=f"block{i}")(x, train)
        return rearrange(x, "(b m) t j c -> b m t j c", m=m)


class Block(nn.Module):
    """A spatial unit, a temporal unit, and a shortcut around both.

    Attributes:
      spatial: function of features and layout that returns a module, which keeps the frames.
      temporal: function of features, stride and dropout that returns a module.
      residual: use the shortcut.
    """

    spatial: type[nn.Module]
    temporal: type[nn.Module]
    layout: str
    norm: Callable
    dtype: Any
    features: int
    stride: int
    dropout: float
    residual: bool

    @nn.compact
    def __call__(self, x, train):  # (b, t, j, c) -> (b, t / stride, j, features)
        options: Any = dict(norm=self.norm, dtype=self.dtype)
        y = self.spatial(self.features, self.layout, **options, name="gcn")(x, train=train)
        tcn = self.temporal(self.features, self.stride, self.dropout, **options, name="tcn")
        y = tcn(y, train=train)
        if not self.residual:
            return nn.relu(y)
        if x.shape[-1] != self.features or self.stride != 1:
            project = TemporalConv(self.features, self.stride, kernel=1, **options, name="residual")
            x = project(x, train=train)
        return nn.relu(x + y)


def aggregate(x: jax.Array, adjacency: jax.Array) -> jax.Array:
    """Sum features over the neighbors of each joint: (b, t, j, k c), (k, j, j) -> (b, t, j, c).

    Entry [k, v, w] of the matrices is the weight of joint v, as subset k maps it, for joint w.
    """
    x = rearrange(x, "b t v (k c) -> b t (v k) c", k=len(adjacency))
    weights = rearrange(adjacency, "k v w -> w (v k)").astype(x.dtype)
    return jnp.einsum("wi,btic->btwc", weights, x)


def pointwise(channels: int, features: int, stride: int = 1, **options) -> Conv:
    """Return a linear layer for each joint in each `stride`-th frame.

    It has the default initialization of PyTorch, as in the recipes.
    """
    bound = channels**-0.5

    def init(rng, shape, dtype=jnp.float32):
        return jax.random.uniform(rng, shape, dtype, -bound, bound)

    inits: Any = dict(use_bias=True, kernel_init=init, bias_init=init)
    return Conv(features, (1, 1), (stride, 1), **inits, **options)
