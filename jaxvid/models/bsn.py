"""Boundary-sensitive network (Lin et al., 2018), https://arxiv.org/abs/1806.02964.

It has three stages. The temporal evaluation module (TEM) predicts for each bin of time how likely
it is inside an action, its start and its end. Likely starts and later ends make proposals. The
proposal evaluation module (PEM) predicts the overlap of each with an action, from the action scores
in and around it.

The proposals are made inside of the network, so that one model has all stages. No gradient passes
from one stage to the one before it. `tasks/boundaries.py` trains the stages together or one by one.

Shapes: b batch, t bins of time, n proposals, c channels.
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Natural, NonNegative, Probability
from jaxvid.layers.temporal import check, conv, dense
from jaxvid.ops.proposals import best_pairs, boundary_features
from jaxvid.weights.convert import Weights

VARIANTS: dict[str, dict] = {
    "test": dict(channels=12, frames=8, width=8, hidden=8, pairs=20),
    "mini": dict(frames=48, width=64, hidden=64, pairs=300),
    "base": dict(),
    "400": dict(channels=400),
    "2048": dict(channels=2048),
    "tem-400": dict(channels=400, stage="tem"),
    "tem-2048": dict(channels=2048, stage="tem"),
    "pem-400": dict(channels=32, frames=1000, width=256, stage="pem"),
}
SAMPLES = 32  # of the action scores of a proposal: 16 inside and 8 at each boundary


class Proposed(NamedTuple):
    """Outputs of the stages, float32; None for stages that the network lacks.

    Attributes:
      action, start, end: (b, t), probabilities of the bins.
      segments: (b, n, 2), proposals within 0..1, best first.
      score: (b, n), product of the probabilities of both boundaries; 0 for missing proposals.
      overlap: (b, n), predicted IoU with an action.
    """

    action: jax.Array | None = None
    start: jax.Array | None = None
    end: jax.Array | None = None
    segments: jax.Array | None = None
    score: jax.Array | None = None
    overlap: jax.Array | None = None


class Base(nn.Module):
    """Hidden layers of the first stage: feature (b, frames, channels) -> (b, frames, width).

    Attributes:
      channels: Number of channels of the input features; 0 accepts any number.
      frames: Number of temporal bins that a video is divided into. For the stage "pem", the number
        of proposals.
      width: Number of channels of the hidden layers.
      stage: Stages of the network: "all", "tem" for boundaries, or "pem" for the overlaps of
        proposals, whose features it takes instead of those of a video.
      remat: Recompute activations in the backward pass. This saves memory and makes training
        slower.
    """

    channels: Natural = 0
    frames: Count = 100
    width: Count = 512
    stage: Literal["all", "tem", "pem"] = "all"
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, feature, *, train=False):
        check(self, feature.shape)
        layers = nn.remat(Hidden) if self.remat else Hidden
        return layers(self.width, self.stage == "pem", self.dtype, name="hidden")(feature)


class Hidden(nn.Module):
    """Two convolutions over three bins or, for features of proposals, one linear layer."""

    width: int
    single: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):  # (b, t, c) -> (b, t, width)
        if self.single:
            return nn.relu(0.1 * dense(self.width, x, self.dtype, "fc1"))
        x = nn.relu(conv(self.width, (3,), x, self.dtype, "conv1"))
        return nn.relu(conv(self.width, (3,), x, self.dtype, "conv2"))


class BSN(nn.Module):
    """Boundary-sensitive network: feature (b, t, c) -> Proposed.

    Attributes:
      hidden: number of hidden units for overlaps.
      pairs: maximum number of proposals.
      peak: share of the highest score above which a bin is a boundary.
      ratio: width of a boundary, as a share of the length of its segment.
    """

    backbone: Base
    hidden: int = 256
    pairs: int = 1000
    peak: float = 0.5
    ratio: float = 0.2

    @nn.compact
    def __call__(self, feature, *, train):
        base = self.backbone
        x = base(feature, train=train)
        if base.stage == "pem":
            return Proposed(overlap=self.overlaps(x))
        x = conv(3, (1,), x, base.dtype, "conv3").astype(jnp.float32)
        action, start, end = jnp.moveaxis(nn.sigmoid(0.01 * x), -1, 0)
        boundaries = jax.lax.stop_gradient((start, end))
        segments, score = best_pairs(*boundaries, self.pairs, self.peak)
        found = Proposed(action, start, end, segments, score)
        if base.stage == "tem":
            return found
        sample = jax.vmap(partial(boundary_features, ratio=self.ratio))
        x = sample(segments, jax.lax.stop_gradient(action)).astype(base.dtype)
        x = nn.relu(0.1 * dense(self.hidden, x, base.dtype, "fc1"))
        return found._replace(overlap=self.overlaps(x))

    @nn.nowrap
    def overlaps(self, x):
        x = dense(1, x, self.backbone.dtype, "fc2")[..., 0].astype(jnp.float32)
        return nn.sigmoid(0.1 * x)


def example(variant):
    """Return shapes and dtypes of a batch of two small inputs, by name."""
    net = backbone(variant)
    return {"feature": jax.ShapeDtypeStruct((2, net.frames, net.channels or 20), jnp.float32)}


def backbone(variant, **overrides):
    given = {k: v for k, v in VARIANTS[variant].items() if k not in ("hidden", "pairs")}
    return Base(**{**given, **overrides})


def build(
    variant,
    *,
    hidden: Count | None = None,
    pairs: Count | None = None,
    peak: Probability = 0.5,
    ratio: NonNegative = 0.2,
    dtype=jnp.float32,
    **overrides,
):
    """Return the network; other arguments are those of `Base`.

    Args:
      hidden: Number of hidden units of the module for overlaps. None is that of the variant, 256
        for those of published size.
      pairs: Maximum number of proposals of a video. None is that of the variant, 1000 for those of
        published size.
      peak: A bin is a boundary if its score is a local maximum, or if it is above this share of the
        highest score.
      ratio: Width of the boundary of a segment, as a share of the length of the segment.
    """
    own = {"hidden": 256, "pairs": 1000} | VARIANTS[variant]
    hidden, pairs = hidden or own["hidden"], pairs or own["pairs"]
    return BSN(backbone(variant, dtype=dtype, **overrides), hidden, pairs, peak, ratio)


# Weights


# "conv1.weight" -> "backbone/hidden/conv1/kernel"
TEM = *((f"conv{i}", f"backbone/hidden/conv{i}") for i in (1, 2)), ("conv3", "conv3")
# "fc2.bias" -> "fc2/bias"
ALL = *TEM, ("fc1", "fc1"), ("fc2", "fc2")
PEM = ("fc1", "backbone/hidden/fc1"), ("fc2", "fc2")


def mmaction(net):
    """Return the rename table. Published files have one stage each, ours can have all."""
    return {"all": ALL, "tem": TEM, "pem": PEM}[net.backbone.stage]


ORDER = "conv1 conv2 conv3 fc1 fc2 weight bias"
WEIGHTS = {"mmaction": Weights(rename=mmaction, order=ORDER)}
