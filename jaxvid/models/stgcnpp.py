"""ST-GCN++ (Duan et al., 2022, PYSKL), https://arxiv.org/abs/2205.09443.

ST-GCN with a graph that each block learns, a shortcut around the graph convolution, and branches
of several time spans in place of one long kernel.

Shapes: b batch times people, t frames, j joints, c channels.
"""

from functools import partial

import jax.numpy as jnp

from jaxvid.config.values import Rate
from jaxvid.layers import gcn, heads
from jaxvid.layers.tcn import MultiBranchConv
from jaxvid.ops import graph
from jaxvid.weights.names.gcn import upstreams

VARIANTS: dict[str, dict] = {
    "test": dict(layout="coco", widths=(12, 12, 18), strides=(1, 2, 1)),
    "2d": dict(layout="coco"),
    "3d": dict(layout="nturgb+d"),
}


GraphConv = partial(gcn.GraphConv, graph=graph.spatial, learned=True, residual=True)
BRANCHES = (
    ("conv", 3, 1),
    ("conv", 3, 2),
    ("conv", 3, 3),
    ("conv", 3, 4),
    ("max", 3),
    ("linear",),
)
MultiScaleConv = partial(MultiBranchConv, branches=BRANCHES)


def example(variant):
    return gcn.example(VARIANTS[variant]["layout"])


def backbone(variant, **overrides):
    return gcn.SkeletonNet(GraphConv, MultiScaleConv, **{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.0, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `SkeletonNet`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights

ROWS = (
    (".gcn.down.0", "/gcn/down"),
    (".gcn.down.1", "/gcn/down_bn"),
    (".tcn.branches.{n}", "/tcn/branch{n}"),
    (".tcn.branches.{n}.0", "/tcn/branch{n}/reduce"),
    (".tcn.branches.{n}.1", "/tcn/branch{n}/bn"),
    (".tcn.branches.{n}.3.conv", "/tcn/branch{n}/conv"),
    (".tcn.transform.0", "/tcn/transform_bn"),
    (".tcn.transform.2", "/tcn/transform"),
)
WEIGHTS = upstreams(ROWS, "gcn.bn branches transform conv down bn")
