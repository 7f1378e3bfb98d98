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

from jaxvid import skeletons
from jaxvid.config.values import Count, Rate
from jaxvid.layers.norm import BatchNorm
from jaxvid.layers.tcn import TemporalConv, pointwise


class SkeletonNet(nn.Module):
    """Backbone for skeletons: keypoint (b, m, t, j, c) -> features (b, m, t', j, widths[-1]).

    Each person goes through the blocks separately. Missing persons are zeros.

    Attributes:
      spatial: spatial unit of each block, see `Block`.
      temporal: temporal unit of each block, see `Block`.
      layout: Layout of the skeleton, a name in `jaxvid.skeletons`. Or a graph of your own, such as
        (4, 0, ((1, 0), (2, 1), (3, 1))): the number of joints, the joint at the center, and the
        edges, each from a joint to its neighbor on the way to the center.
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

    spatial: Callable
    temporal: Callable
    layout: skeletons.Layout
    widths: tuple[Count, ...] = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
    strides: tuple[Count, ...] = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)
    bn_by_person: bool = False
    tcn_dropout: Rate = 0.0
    bn_groups: Count = 1
    bn_frozen: bool = False
    remat: bool = False
    dtype: Any = jnp.float32

    def __post_init__(self):
        skeletons.get(self.layout)  # raises an error for a wrong layout
        super().__post_init__()

    @nn.compact
    def __call__(self, keypoint, *, train):
        m, j = keypoint.shape[1], keypoint.shape[3]
        joints = skeletons.get(self.layout).joints
        if j != joints:
            raise ValueError(f'keypoint has {j} joints, layout "{self.layout}" has {joints}')
        norm = partial(BatchNorm, groups=self.bn_groups, frozen=self.bn_frozen)
        flat = "b t (m j c)" if self.bn_by_person else "(b m) t (j c)"
        x = rearrange(keypoint, f"b m t j c -> {flat}")
        x = norm(dtype=self.dtype, name="data_bn")(x, train=train)
        x = rearrange(x, f"{flat} -> (b m) t j c", m=m, j=j)
        for i, (width, stride) in enumerate(zip(self.widths, self.strides, strict=True)):
            dropout = self.tcn_dropout if i else 0.0
            block = self.block(norm=norm, features=width, stride=stride, dropout=dropout)
            x = block(residual=i > 0, name=f"block{i}")(x, train)
        return rearrange(x, "(b m) t j c -> b m t j c", m=m)

    @nn.nowrap
    def block(self, kind: Any = None, **fields) -> Callable:
        """Return what makes one of the blocks, of class `Block` or `kind`."""
        kind = kind or Block
        kind = nn.remat(kind, static_argnums=(2,)) if self.remat else kind
        shared: Any = dict(layout=self.layout, dtype=self.dtype)
        return partial(kind, self.spatial, self.temporal, **shared, **fields)


class GraphConv(nn.Module):
    """A sum over neighbors, mapped by a matrix for each subset of them; normalized, ReLU.

    Attributes:
      graph: Function of the layout that returns the adjacency matrices, such as `graph.spatial`.
      learned: Learn the matrices, which start as the skeleton. Otherwise learn a factor for each of
        their entries, which starts at 1.
      residual: Add a shortcut, which maps the channels where their number changes.
    """

    features: int
    layout: skeletons.Layout
    graph: Callable
    learned: bool = False
    residual: bool = False
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, j, c) -> (b, t, j, features)
        adjacency = start = jnp.asarray(self.graph(self.layout))
        if self.learned:
            adjacency = self.param("A", lambda rng: start)
        else:
            adjacency = start * self.param("PA", nn.initializers.ones, start.shape)
        width = len(adjacency) * self.features
        y = pointwise(x.shape[-1], width, dtype=self.dtype, name="conv")(x)
        y = self.norm(dtype=self.dtype, name="bn")(aggregate(y, adjacency), train=train)
        if not self.residual:
            return nn.relu(y)
        if x.shape[-1] != self.features:
            x = pointwise(x.shape[-1], self.features, dtype=self.dtype, name="down")(x)
            x = self.norm(dtype=self.dtype, name="down_bn")(x, train=train)
        return nn.relu(x + y)


class Block(nn.Module):
    """A spatial unit, a temporal unit, and a shortcut around both.

    Attributes:
      spatial: function of features and layout that returns a module, which keeps the frames.
      temporal: function of features, stride and dropout that returns a module.
      residual: use the shortcut.
    """

    spatial: Callable
    temporal: Callable
    layout: skeletons.Layout
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


def example(layout: skeletons.Layout) -> dict[str, jax.ShapeDtypeStruct]:
    """Return shapes and dtypes of small inputs, by name: a batch of two, of two people each."""
    shape = 2, 2, 8, skeletons.get(layout).joints, 3
    return {"keypoint": jax.ShapeDtypeStruct(shape, jnp.float32)}
