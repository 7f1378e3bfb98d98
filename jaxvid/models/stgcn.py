"""ST-GCN (Yan et al., 2018), https://arxiv.org/abs/1801.07455.

Ten blocks that mix neighboring joints by a fixed graph, of which each block learns how much every
edge counts, and then convolve over nine frames.

Shapes: b batch times people, t frames, j joints, c channels.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Rate
from jaxvid.layers import heads
from jaxvid.layers.gcn import SkeletonNet, aggregate, pointwise
from jaxvid.layers.norm import BatchNorm
from jaxvid.layers.tcn import TemporalConv
from jaxvid.ops import graph
from jaxvid.weights.convert import Weights

VARIANTS: dict[str, dict] = {
    "test": dict(layout="coco", widths=(8, 8, 12), strides=(1, 2, 1)),
    "2d": dict(layout="coco"),
    "3d": dict(layout="nturgb+d"),
}


class GraphConv(nn.Module):
    """A sum over neighbors, mapped by a matrix for each subset of them; normalized, ReLU."""

    features: int
    layout: str
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, j, c) -> (b, t, j, features)
        adjacency = graph.stgcn_spatial(self.layout)
        importance = self.param("PA", nn.initializers.ones, adjacency.shape)
        width = len(adjacency) * self.features
        x = pointwise(x.shape[-1], width, dtype=self.dtype, name="conv")(x)
        x = aggregate(x, importance * adjacency)
        return nn.relu(self.norm(dtype=self.dtype, name="bn")(x, train=train))


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, of two people each."""
    joints = len(graph.edges(VARIANTS[variant]["layout"]))
    return {"keypoint": jax.ShapeDtypeStruct((2, 2, 8, joints, 3), jnp.float32)}


def backbone(variant, **overrides):
    return SkeletonNet(GraphConv, TemporalConv, **{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.0, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `SkeletonNet`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights


def graph_buffers(net, names):
    """The graph that upstream stores beside each block's importance of its edges."""
    adjacency = graph.stgcn_spatial(net.backbone.layout)
    return {name.replace(".PA", ".A"): adjacency for name in names if name.endswith(".PA")}


def upstream(head):
    """A table whose upstreams differ in the name of the head's layer."""
    return Weights(
        rename=(
            ("backbone.data_bn", "backbone/data_bn"),
            ("backbone.gcn.{i}", "backbone/block{i}"),
            (head, "head/fc"),
        ),
        skip=(".*gcn.A", ".*num_batches_tracked"),
        order=(
            "backbone cls_head data_bn gcn tcn residual PA A gcn.bn conv bn"
            " weight bias running_mean running_var"
        ),
        buffers=graph_buffers,
    )


WEIGHTS = {"mmaction": upstream("cls_head.fc"), "pyskl": upstream("cls_head.fc_cls")}
