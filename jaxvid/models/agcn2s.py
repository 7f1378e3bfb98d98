"""2s-AGCN (Shi et al., 2019), https://arxiv.org/abs/1805.07694.

ST-GCN whose blocks learn their graph, and add to it the similarity of joints in each sequence. Two
networks, one on joints and one on bones, are fused.

Shapes: b batch times people, t frames, j joints (v in, w out), c channels.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxvid.config.values import Rate
from jaxvid.layers import gcn, heads
from jaxvid.layers.conv import he_normal
from jaxvid.layers.norm import BatchNorm
from jaxvid.layers.tcn import TemporalConv, pointwise
from jaxvid.ops import graph
from jaxvid.weights.names.gcn import upstreams

VARIANTS: dict[str, dict] = {
    "test": dict(layout="coco", widths=(8, 8, 12), strides=(1, 2, 1)),
    "2d": dict(layout="coco"),
    "3d": dict(layout="nturgb+d"),
}
EMBEDDING = 4  # channels of the features divided by those that are compared


class GraphConv(nn.Module):
    """A sum over neighbors by a learned graph plus one computed from x; normalized, plus x, ReLU.

    The computed graph is the similarity of two joints over the whole sequence, from -1 to 1, times
    a learned number that starts at 0.
    """

    features: int
    layout: graph.Layout
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, j, c) -> (b, t, j, features)
        start = jnp.asarray(graph.spatial(self.layout))
        alpha = self.param("alpha", nn.initializers.zeros, (1,))
        one_of = nn.initializers.variance_scaling(2 / len(start) / x.shape[-1], "fan_out", "normal")
        y = 0
        for k, learned in enumerate(self.param("A", lambda rng: start)):
            adjacency = (learned + alpha * self.similarity(x, k)).astype(self.dtype)
            mixed = jnp.einsum("bvw,btvc->btwc", adjacency, x.astype(self.dtype))
            y += self.linear(self.features, f"conv_d{k}", one_of)(mixed)
        small = nn.initializers.constant(1e-6)
        y = self.norm(scale_init=small, dtype=self.dtype, name="bn")(y, train=train)
        if x.shape[-1] != self.features:
            x = self.linear(self.features, "down")(x)
            x = self.norm(dtype=self.dtype, name="down_bn")(x, train=train)
        return nn.relu(x + y)

    def similarity(self, x, k):  # -> (b, v, w)
        a, b = (self.linear(self.features // EMBEDDING, f"conv_{s}{k}")(x) for s in "ab")
        products = jnp.einsum("btvc,btwc->bvw", a, b, preferred_element_type=jnp.float32)
        return jnp.tanh(products / (a.shape[1] * a.shape[3]))

    def linear(self, features, name, init: Callable = he_normal):
        options: Any = dict(kernel_init=init, bias_init=nn.initializers.zeros, name=name)
        return lambda x: pointwise(x.shape[-1], features, dtype=self.dtype, **options)(x)


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


def graph_buffers(net, names):
    """The graph that upstream stores beside those that the blocks learn."""
    return {"backbone.A": graph.spatial(net.backbone.layout)}


ROWS = (
    *((f".gcn.conv_{s}.{{k}}", f"/gcn/conv_{s}{{k}}") for s in "abd"),
    (".gcn.down.0", "/gcn/down"),
    (".gcn.down.1", "/gcn/down_bn"),
)
WORDS = "alpha conv_d conv_a conv_b down conv bn"
WEIGHTS = upstreams(ROWS, WORDS, "backbone.A", graph_buffers)
