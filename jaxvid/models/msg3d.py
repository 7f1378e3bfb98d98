"""MS-G3D (Liu et al., 2020), https://arxiv.org/abs/2003.14111.

Three blocks of two paths. One sums over joints by their distance and convolves over time. The other
sums over the joints of all frames in a window at once. Joints at a distance of k edges have a scale
of their own, so that those far away count as much as those nearby.

Shapes: b batch times people, t frames, j joints (v in, w out), c channels, k scales.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange

from jaxvid.config.values import Count, Rate
from jaxvid.layers import gcn, heads
from jaxvid.layers.conv import Conv, torch_uniform
from jaxvid.layers.norm import BatchNorm
from jaxvid.layers.tcn import MultiScaleConv, pointwise
from jaxvid.ops import graph
from jaxvid.weights.names.gcn import branches, upstreams

STRIDES = 1, 2, 2
VARIANTS: dict[str, dict] = {
    "test": dict(layout="coco", widths=(6, 6, 12), strides=STRIDES, scales=3, window_scales=2),
    "2d": dict(layout="coco", widths=(96, 192, 384), strides=STRIDES),
    "3d": dict(layout="nturgb+d", widths=(96, 192, 384), strides=STRIDES),
}
WINDOWS = 3, 5
TemporalConv = partial(MultiScaleConv, residual=True)


class MSG3D(gcn.SkeletonNet):
    """keypoint (b, m, t, j, c) -> features (b, m, t', j, widths[-1]).

    Each person goes through the blocks separately. Missing persons are zeros.

    Attributes:
      scales: Number of distances between joints that have a matrix of their own, from 0.
      window_scales: The same for the joints of a window.
    """

    scales: Count = 13
    window_scales: Count = 6

    @nn.nowrap
    def block(self, kind: Any = None, **fields):
        scales = self.scales, self.window_scales
        return super().block(kind or Block, scales=scales, **fields)


class Block(gcn.Block):
    """The two paths, summed; ReLU; a temporal unit.

    Attributes:
      spatial: Function of features, layout, scales and window that returns the graph convolution.
      temporal: Function of features, stride and dropout that returns the temporal unit.
      residual: False in the first block, whose graph convolutions widen the channels; in others,
        the units after them do.
      scales: Their numbers for the joints of a frame and of a window.
    """

    scales: tuple[int, int] = (13, 6)

    @nn.compact
    def __call__(self, x, train):  # (b, t, j, c) -> (b, t / stride, j, features)
        options: Any = dict(norm=self.norm, dtype=self.dtype)
        spatial = partial(self.spatial, layout=self.layout, **options)
        temporal = partial(self.temporal, self.features, **options)
        inner = x.shape[-1] if self.residual else self.features
        y = spatial(inner, scales=self.scales[0], name="gcn")(x, train=train)
        y = temporal(self.stride, name="tcn0")(y, train=train)
        y = temporal(relu=False, name="tcn1")(y, train=train)
        for i, window in enumerate(WINDOWS):
            unit = partial(spatial, inner, scales=self.scales[1], window=window)
            sizes = self.features, window, self.stride
            y += WindowConv(unit, *sizes, **options, name=f"window{i}")(x, train=train)
        return temporal(dropout=self.dropout, name="tcn")(nn.relu(y), train=train)


class WindowConv(nn.Module):
    """A graph convolution over all joints in a window of frames, then a linear map of the window.

    Windows are static slices, side by side as joints. They take `window` / `stride` times the
    memory of x, and the sums inside of the graph convolution `window_scales` times that.
    """

    spatial: Callable
    features: int
    window: int
    stride: int
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, j, c) -> (b, t / stride, j, features)
        t, pad = x.shape[1], self.window // 2
        padded = jnp.pad(x, ((0, 0), (pad, pad), (0, 0), (0, 0)))
        frames = [padded[:, i : i + t : self.stride] for i in range(self.window)]
        x = self.spatial(name="gcn")(jnp.concatenate(frames, 2), train=train)
        x = rearrange(x, "b t (n j) c -> b t n j c", n=self.window)
        inits: Any = dict(kernel_init=torch_uniform, use_bias=True, dtype=self.dtype)
        kernel = (1, self.window, 1)
        x = Conv(self.features, kernel, padding=(0, 0, 0), **inits, name="conv")(x)
        return self.norm(dtype=self.dtype, name="last_bn")(x[:, :, 0], train=train)


class GraphConv(nn.Module):
    """A sum over joints for each distance, and a linear map of all; normalized, ReLU.

    The graph is fixed, and a learned one is added to it, which starts near 0.
    """

    features: int
    layout: graph.Layout
    scales: int
    window: int = 1
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, window j, c) -> (b, t, window j, features)
        hops = jnp.asarray(graph.k_hop(self.layout, self.scales, self.window))
        start = partial(nn.initializers.uniform(2e-6), shape=hops.shape)
        learned = self.param("PA", lambda rng: start(rng) - 1e-6)
        adjacency = (hops + learned).astype(self.dtype)
        x = jnp.einsum("kvw,btvc->btwkc", adjacency, x.astype(self.dtype))
        x = rearrange(x, "b t w k c -> b t w (k c)")
        x = pointwise(x.shape[-1], self.features, dtype=self.dtype, name="linear")(x)
        return nn.relu(self.norm(dtype=self.dtype, name="bn")(x, train=train))


def example(variant):
    return gcn.example(VARIANTS[variant]["layout"])


def backbone(variant, **overrides):
    options = {"bn_by_person": True, **VARIANTS[variant], **overrides}
    return MSG3D(GraphConv, TemporalConv, **options)


def build(variant, *, num_classes, dropout: Rate = 0.0, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `MSG3D`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights


def graph_buffers(net, names):
    """The graphs that upstream stores beside those that the blocks learn."""
    net = net.backbone
    graphs = {"backbone.A": graph.binary_adj(net.layout)[0]}
    for name in names:
        if name.endswith(".PA"):
            window = WINDOWS[int(name.split(".")[3])] if "gcn3d" in name else 1
            scales = net.scales if window == 1 else net.window_scales
            graphs[name.replace(".PA", ".A")] = graph.k_hop(net.layout, scales, window)
    return graphs


BLOCKS = tuple(
    (f"backbone.{a}", f"backbone/block{n - 1}/{b}")
    for n in (1, 2, 3)
    for a, b in (
        (f"gcn3d{n}.gcn3d.{{w}}", "window{w}"),
        (f"sgcn{n}.0", "gcn"),
        (f"sgcn{n}.1", "tcn0"),
        (f"sgcn{n}.2", "tcn1"),
        (f"tcn{n}", "tcn"),
    )
)
ROWS = (
    (".gcn3d.1", "/gcn"),
    (".gcn3d.1.mlp.layers.0", "/gcn/linear"),
    (".gcn3d.1.mlp.layers.1", "/gcn/bn"),
    (".out_conv", "/conv"),
    (".out_bn", "/last_bn"),
    (".mlp.layers.0", "/linear"),
    (".mlp.layers.1", "/bn"),
    *branches(6),
)
ORDER = " ".join(f"gcn3d{n} sgcn{n} tcn{n}" for n in (1, 2, 3))
WORDS = f"backbone.A data_bn {ORDER} PA A mlp gcn3d out_conv out_bn branches residual conv bn"
WEIGHTS = upstreams(ROWS, WORDS, r".*\.A", graph_buffers, blocks=BLOCKS)
