"""ST-GCN++ (Duan et al., 2022, PYSKL), https://arxiv.org/abs/2205.09443.

ST-GCN with a graph that each block learns, a shortcut around the graph convolution, and branches
of several time spans in place of one long kernel.

Shapes: b batch times people, t frames, j joints, c channels.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Rate
from jaxvid.layers import heads
from jaxvid.layers.conv import Conv
from jaxvid.layers.gcn import SkeletonNet, aggregate, pointwise
from jaxvid.layers.norm import BatchNorm
from jaxvid.ops import graph
from jaxvid.ops.pooling import max_pool
from jaxvid.weights.convert import Weights

VARIANTS: dict[str, dict] = {
    "test": dict(layout="coco", widths=(12, 12, 18), strides=(1, 2, 1)),
    "2d": dict(layout="coco"),
    "3d": dict(layout="nturgb+d"),
}


class GraphConv(nn.Module):
    """A sum over neighbors, mapped by a matrix for each subset of them; normalized, plus x."""

    features: int
    layout: str
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, j, c) -> (b, t, j, features)
        start = graph.spatial(self.layout)
        adjacency = self.param("A", lambda rng: jnp.asarray(start))
        y = pointwise(x.shape[-1], len(start) * self.features, dtype=self.dtype, name="conv")(x)
        y = aggregate(y, adjacency)
        y = self.norm(dtype=self.dtype, name="bn")(y, train=train)
        if x.shape[-1] != self.features:
            x = pointwise(x.shape[-1], self.features, dtype=self.dtype, name="down")(x)
            x = self.norm(dtype=self.dtype, name="down_bn")(x, train=train)
        return nn.relu(x + y)


class MultiScaleConv(nn.Module):
    """Branches side by side that share the channels, and a linear map of them all.

    Four are convolutions over three frames, 1 to 4 apart; one is a maximum of three frames; one is
    linear.
    """

    features: int
    stride: int
    dropout: float
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, j, c) -> (b, t / stride, j, features)
        c, share = x.shape[-1], self.features // 6
        widths = (self.features - 5 * share, share, share, share, share)
        parts = []
        for i, (width, apart) in enumerate(zip(widths, (1, 2, 3, 4, 0), strict=True)):
            branch = Branch(width, apart, self.stride, self.norm, self.dtype, name=f"branch{i}")
            parts.append(branch(x, train=train))
        parts.append(pointwise(c, share, self.stride, dtype=self.dtype, name="branch5")(x))
        x = jnp.concatenate(parts, -1)
        x = nn.relu(self.norm(dtype=self.dtype, name="transform_bn")(x, train=train))
        x = pointwise(self.features, self.features, dtype=self.dtype, name="transform")(x)
        x = self.norm(dtype=self.dtype, name="bn")(x, train=train)
        return nn.Dropout(self.dropout, deterministic=not train)(x)


class Branch(nn.Module):
    """Fewer channels, then a convolution over three frames so far `apart`; 0: their maximum."""

    features: int
    apart: int
    stride: int
    norm: Callable
    dtype: Any

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, j, c) -> (b, t / stride, j, features)
        x = pointwise(x.shape[-1], self.features, dtype=self.dtype, name="reduce")(x)
        x = nn.relu(self.norm(dtype=self.dtype, name="bn")(x, train=train))
        if not self.apart:
            return max_pool(x, (3, 1), (self.stride, 1), (1, 0))
        options: Any = dict(dilation=(self.apart, 1), use_bias=True, dtype=self.dtype)
        return Conv(self.features, (3, 1), (self.stride, 1), **options, name="conv")(x)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, of two people each."""
    joints = len(graph.edges(VARIANTS[variant]["layout"]))
    return {"keypoint": jax.ShapeDtypeStruct((2, 2, 8, joints, 3), jnp.float32)}


def backbone(variant, **overrides):
    return SkeletonNet(GraphConv, MultiScaleConv, **{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.0, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `SkeletonNet`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights

BLOCK = (
    ("", ""),
    (".gcn.down.0", "/gcn/down"),
    (".gcn.down.1", "/gcn/down_bn"),
    (".tcn.branches.{n}", "/tcn/branch{n}"),
    (".tcn.branches.{n}.0", "/tcn/branch{n}/reduce"),
    (".tcn.branches.{n}.1", "/tcn/branch{n}/bn"),
    (".tcn.branches.{n}.3.conv", "/tcn/branch{n}/conv"),
    (".tcn.transform.0", "/tcn/transform_bn"),
    (".tcn.transform.2", "/tcn/transform"),
)


def upstream(head):
    """A table whose upstreams differ in the name of the head's layer."""
    blocks = ((f"backbone.gcn.{{i}}{a}", f"backbone/block{{i}}{b}") for a, b in BLOCK)
    rows = (("backbone.data_bn", "backbone/data_bn"), *blocks, (head, "head/fc"))
    order = (
        "backbone cls_head data_bn gcn tcn residual A gcn.bn branches transform conv down bn"
        " weight bias running_mean running_var"
    )
    return Weights(rows, skip=(".*num_batches_tracked",), order=order)


WEIGHTS = {"mmaction": upstream("cls_head.fc"), "pyskl": upstream("cls_head.fc_cls")}
