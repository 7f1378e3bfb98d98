"""ST-GCN (Yan et al., 2018), https://arxiv.org/abs/1801.07455.

Ten blocks that mix neighboring joints by a fixed graph, of which each block learns how much every
edge counts, and then convolve over nine frames.

Shapes: b batch times people, t frames, j joints, c channels.
"""

from functools import partial

import jax.numpy as jnp

from jaxvid.config.values import Rate
from jaxvid.layers import gcn, heads
from jaxvid.layers.tcn import TemporalConv
from jaxvid.ops import graph
from jaxvid.weights.names.gcn import upstreams

VARIANTS: dict[str, dict] = {
    "test": dict(layout="coco", widths=(8, 8, 12), strides=(1, 2, 1)),
    "2d": dict(layout="coco"),
    "3d": dict(layout="nturgb+d"),
}


GraphConv = partial(gcn.GraphConv, graph=graph.stgcn_spatial)


def example(variant):
    return gcn.example(VARIANTS[variant]["layout"])


def backbone(variant, **overrides):
    return gcn.SkeletonNet(GraphConv, TemporalConv, **{**VARIANTS[variant], **overrides})


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


WORDS = "PA A gcn.bn conv bn"
WEIGHTS = upstreams((), WORDS, ".*gcn.A", graph_buffers)
