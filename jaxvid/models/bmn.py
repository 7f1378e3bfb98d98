"""Boundary-matching network (Lin et al., 2019), https://arxiv.org/abs/1907.09702.

From the features of an untrimmed video, it predicts where actions start, where they end, and how
well each segment matches an action. The proposals do not depend on classes.

Shapes: b batch, t bins of time, d durations, s starts, c channels; see `ops/boundary.py`.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Natural, NonNegative
from jaxvid.layers.conv import torch_uniform
from jaxvid.layers.temporal import GroupConv, bias_init, check, conv
from jaxvid.ops import boundary
from jaxvid.weights.convert import Weights

VARIANTS: dict[str, dict] = {
    "test": dict(channels=12, frames=8, width=8),
    "mini": dict(frames=48, width=32),
    "base": dict(),
    "400": dict(channels=400),
    "2048": dict(channels=2048),
}


class Boundaries(NamedTuple):
    """Probabilities: confidence (b, 2, d, s), start (b, t), end (b, t), float32.

    A segment has two confidences: one is trained by regression of its overlap, the other by
    classification as an action.
    """

    confidence: jax.Array
    start: jax.Array
    end: jax.Array


class Base(nn.Module):
    """Two convolutions over time: feature (b, frames, channels) -> (b, frames, width).

    Attributes:
      channels: Number of channels of the input features; 0 accepts any number.
      frames: Number of temporal bins that a video is divided into.
      width: Number of channels of the convolutions.
      groups: Number of groups of channels in each convolution.
      remat: Recompute activations in the backward pass, including those of the boundary-matching
        map. This saves memory and makes training slower.
    """

    channels: Natural = 0
    frames: Count = 100
    width: Count = 256
    groups: Count = 4
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, feature, *, train=False):
        check(self, feature.shape)
        conv = nn.remat(GroupConv) if self.remat else GroupConv
        x = conv(self.width, self.groups, dtype=self.dtype, name="conv1")(feature)
        return conv(self.width, self.groups, dtype=self.dtype, name="conv2")(x)


class Boundary(nn.Module):
    """Predicts the probability of each bin to be a boundary: (b, t, c) -> (b, t), float32."""

    width: int
    groups: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        x = GroupConv(self.width, self.groups, dtype=self.dtype, name="conv1")(x)
        x = conv(1, (1,), x, self.dtype, "conv2")
        return nn.sigmoid(x[..., 0].astype(jnp.float32))


class SampleCells(nn.Module):
    """Samples all segments of a sequence, with ReLU: (b, t, c) -> (b, d, s, features)."""

    features: int
    samples: int
    per_sample: int
    ratio: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        shape = (self.samples, 1, 1, x.shape[-1], self.features)
        kernel = self.param("kernel", torch_uniform, shape).astype(self.dtype)
        bias = self.param("bias", bias_init(shape), (self.features,)).astype(self.dtype)
        settings = self.samples, self.per_sample, self.ratio
        return nn.relu(boundary.sample_cells(x, kernel[:, 0, 0], *settings) + bias)


class Evaluate(nn.Module):
    """Predicts both confidences of all segments: (b, t, c) -> (b, 2, d, s), float32."""

    samples: int
    per_sample: int
    ratio: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        width = x.shape[-1]
        x = nn.relu(conv(width, (3,), x, self.dtype, "conv"))
        settings = 2 * width, self.samples, self.per_sample, self.ratio, self.dtype
        x = SampleCells(*settings, name="sample")(x)
        for i, kernel in enumerate(((1, 1), (3, 3), (3, 3)), 1):
            x = nn.relu(conv(width // 2, kernel, x, self.dtype, f"map{i}"))
        x = conv(2, (1, 1), x, self.dtype, "map4")
        return nn.sigmoid(jnp.moveaxis(x, -1, 1).astype(jnp.float32))


class BMN(nn.Module):
    """Boundary-matching network: feature (b, t, c) -> Boundaries.

    Attributes:
      samples: number of samples of each segment with its surroundings.
      per_sample: number of points that are averaged to one sample.
      ratio: length of the surroundings on each side, as a share of the length of the segment.
    """

    backbone: Base
    samples: int = 32
    per_sample: int = 3
    ratio: float = 0.5

    @nn.compact
    def __call__(self, feature, *, train):
        base = self.backbone
        x = base(feature, train=train)
        start = Boundary(base.width, base.groups, base.dtype, name="start")(x)
        end = Boundary(base.width, base.groups, base.dtype, name="end")(x)
        evaluate = nn.remat(Evaluate) if base.remat else Evaluate
        settings = self.samples, self.per_sample, self.ratio, base.dtype
        return Boundaries(evaluate(*settings, name="segments")(x), start, end)


def example(variant):
    """Return shapes and dtypes of a batch of two small inputs, by name."""
    net = backbone(variant)
    return {"feature": jax.ShapeDtypeStruct((2, net.frames, net.channels or 20), jnp.float32)}


def backbone(variant, **overrides):
    return Base(**{**VARIANTS[variant], **overrides})


def build(
    variant,
    *,
    samples: Count = 32,
    per_sample: Count = 3,
    ratio: NonNegative = 0.5,
    dtype=jnp.float32,
    **overrides,
):
    """Return the network; other arguments are those of `Base`.

    Args:
      samples: Number of samples that are taken from each segment and its surroundings.
      per_sample: Number of points that are averaged to one sample.
      ratio: Length of the surroundings on each side of a segment, as a share of the length of the
        segment.
    """
    return BMN(backbone(variant, dtype=dtype, **overrides), samples, per_sample, ratio)


# Weights


def masks(net, names):
    """Return the constants that MMAction2 stores: sampling mask, and mask of cells in the video."""
    frames = net.backbone.frames
    return {
        "sample_mask": boundary.sampling_mask(frames, net.samples, net.per_sample, net.ratio),
        "bm_mask": boundary.valid_cells(frames).astype("float32"),
    }


WEIGHTS = {
    "mmaction": Weights(
        rename=(
            ("x_1d_b.0", "backbone/conv1"),
            ("x_1d_b.2", "backbone/conv2"),
            ("x_1d_s.0", "start/conv1"),
            ("x_1d_s.2", "start/conv2"),
            ("x_1d_e.0", "end/conv1"),
            ("x_1d_e.2", "end/conv2"),
            ("x_1d_p.0", "segments/conv"),
            ("x_3d_p.0", "segments/sample"),
            ("x_2d_p.0", "segments/map1"),
            ("x_2d_p.2", "segments/map2"),
            ("x_2d_p.4", "segments/map3"),
            ("x_2d_p.6", "segments/map4"),
        ),
        skip=("sample_mask", "bm_mask"),
        order="sample_mask bm_mask x_1d_b x_1d_s x_1d_e x_1d_p x_3d_p x_2d_p weight bias",
        buffers=masks,
    )
}
