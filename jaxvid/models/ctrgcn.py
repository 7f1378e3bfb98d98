"""CTR-GCN (Chen et al., 2021), https://arxiv.org/abs/2107.12213.

Ten blocks whose graph convolution refines a learned graph for each channel and each sequence, by
the differences between joints, and whose temporal convolution has branches of several time spans.

Shapes: b batch times people, t frames, j joints (v in, w out), c channels, k subsets of neighbors.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange

from jaxvid.config.values import Rate
from jaxvid.layers import gcn, heads
from jaxvid.layers.norm import BatchNorm
from jaxvid.layers.tcn import MultiScaleConv, normal
from jaxvid.models.agcn2s import graph_buffers
from jaxvid.ops import graph
from jaxvid.weights.names import fixes
from jaxvid.weights.names.gcn import branches, upstreams

VARIANTS: dict[str, dict] = {
    "test": dict(layout="coco", widths=(8, 8, 12), strides=(1, 2, 1)),
    "2d": dict(layout="coco"),
    "3d": dict(layout="nturgb+d"),
}


class GraphConv(nn.Module):
    """A sum over neighbors by a graph for each channel; normalized, plus a shortcut, ReLU.

    The graphs of a subset are one learned graph, shared by channels and sequences, plus `alpha`
    times the refinement, a function of the difference between the mean features of two joints.
    `alpha` is learned and starts at 0. For each channel, the sum over all joints and subsets is one
    matrix product. The graphs take k j j c numbers for each person.
    """

    features: int
    layout: graph.Layout
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, j, c) -> (b, t, j, features)
        start = jnp.asarray(graph.spatial(self.layout))
        learned = self.param("A", lambda rng: start)
        alpha = self.param("alpha", nn.initializers.zeros, (1,))
        k, channels = len(start), x.shape[-1]
        relations = 8 if channels <= 16 else channels // 8
        mean = x.mean(1, keepdims=True)
        a, b = (self.linear(k * relations, f"conv{i}", k)(mean) for i in (1, 2))
        apart = jnp.tanh(a[:, 0, :, None] - b[:, 0, None])
        refined = self.linear(k * self.features, "conv4", k, groups=k)(apart)
        refined = rearrange(refined, "b v w (k c) -> b k v w c", k=k)
        graphs = (learned[..., None] + alpha * refined).astype(self.dtype)
        y = self.linear(k * self.features, "conv3", k)(x)
        y = rearrange(y, "b t v (k c) -> b t k v c", k=k)
        y = jnp.einsum("bkvwc,btkvc->btwc", graphs, y)
        small = nn.initializers.constant(1e-6)
        y = self.norm(scale_init=small, dtype=self.dtype, name="bn")(y, train=train)
        if channels != self.features:
            x = self.linear(self.features, "down")(x)
            x = self.norm(dtype=self.dtype, name="down_bn")(x, train=train)
        return nn.relu(x + y)

    def linear(self, features, name, k=1, **options):
        # Layers of k subsets side by side, each initialized by itself
        options["kernel_init"] = nn.initializers.variance_scaling(2 * k, "fan_out", "normal")
        make = partial(normal, dtype=self.dtype, name=name, **options)
        return lambda x: make(x.shape[-1], features)(x)


TemporalConv = partial(MultiScaleConv, kernel=5, apart=(1, 2))


def example(variant):
    return gcn.example(VARIANTS[variant]["layout"])


def backbone(variant, **overrides):
    options = {"bn_by_person": True, **VARIANTS[variant], **overrides}
    return gcn.SkeletonNet(GraphConv, TemporalConv, **options)


def build(variant, *, num_classes, dropout: Rate = 0.0, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `SkeletonNet`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights

ROWS = (
    (".gcn1", "/gcn"),
    (".gcn1.convs.conv{n}", "/gcn/conv{n}"),
    (".gcn1.down.0", "/gcn/down"),
    (".gcn1.down.1", "/gcn/down_bn"),
    *((f".tcn1{a}", f"/tcn{b}") for a, b in branches(4)),
)
WORDS = "gcn1 tcn1 residual alpha convs conv1 conv2 conv3 conv4 down conv bn"
WEIGHTS = upstreams(
    ROWS,
    WORDS,
    "backbone.A",
    graph_buffers,
    blocks=(("backbone.net.{i}", "backbone/block{i}"),),
    fix=fixes.joined(tuple(f"convs.{k}" for k in range(3)), "convs"),
)
