"""RTMPose, a top-down pose estimator (Jiang et al., 2023), https://arxiv.org/abs/2303.07399.

It classifies the x and the y of each joint into bins of half a pixel (SimCC, Li et al., 2022). A
gated attention unit (Hua et al., "Transformer Quality in Linear Time", 2022) relates the joints.
This is for inference: there is no task that trains it.

Shapes: b batch, h height, w width, c channels, k joints.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count
from jaxvid.layers import cspnext
from jaxvid.layers.conv import Conv
from jaxvid.layers.cspnext import CSPNeXt
from jaxvid.weights.convert import Weights
from jaxvid.weights.names.resnet import BUFFERS

BINS = 2  # bins of a pixel
TINY = tuple((c, 1, own) for c, own in ((8, True), (8, True), (16, True), (16, False)))
PERSON = 256, 192  # height and width of the image; those of a hand are 256
VARIANTS: dict[str, dict] = {
    "test": dict(stem=8, stages=TINY, hidden=16, key=8, kernel=3),
    "l": cspnext.scaled(1.0, 1.0),
    "m": cspnext.scaled(0.75, 0.67),
    "s": cspnext.scaled(0.5, 0.33),
    "tiny": cspnext.scaled(0.375, 0.167),
}
HEAD = ("hidden", "key", "kernel")  # options of the head


class PoseNet(nn.Module):
    """image (b, h, w, 3) -> scores of the bins of x (b, 2 w, k) and of y (b, 2 h, k)."""

    backbone: CSPNeXt
    head: "SimCC"

    def __call__(self, image, *, train):
        return self.head(self.backbone(image, train=train)[-1])


class ScaleNorm(nn.Module):
    """Divides a vector by its root mean square, and multiplies it by one learned number."""

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x):  # (..., c) -> the same
        scale = self.param("g", nn.initializers.ones, (1,))
        x = x.astype(jnp.float32)
        length = jnp.sqrt(jnp.square(x).mean(-1, keepdims=True))
        return x / jnp.maximum(length, self.epsilon) * scale


class GatedAttention(nn.Module):
    """Relates the joints: (b, k, c) -> the same.

    Attributes:
      key: Channels of the queries and keys.
      expansion: Channels of the values, as a multiple of c.
    """

    key: int = 128
    expansion: int = 2
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        c, width = x.shape[-1], x.shape[-1] * self.expansion
        options: dict[str, Any] = dict(use_bias=False, dtype=self.dtype)
        y = ScaleNorm(name="ln")(x)
        y = nn.silu(nn.Dense(2 * width + self.key, **options, name="uv")(y))
        gate, value, base = jnp.split(y, (width, 2 * width), -1)
        gamma = self.param("gamma", nn.initializers.normal(0.02), (2, self.key))
        beta = self.param("beta", nn.initializers.zeros, (2, self.key))
        query, key = (base * gamma[i] + beta[i] for i in range(2))
        weight = jnp.einsum("bqc,bkc->bqk", query, key) / self.key**0.5
        y = gate * jnp.einsum("bqk,bkc->bqc", jnp.square(nn.relu(weight)), value)
        scale = self.param("res_scale", nn.initializers.ones, (c,))
        return x * scale + nn.Dense(c, **options, name="o")(y)


class SimCC(nn.Module):
    """The scores of the bins of all joints.

    Attributes:
      joints: Number of joints.
      size: Height and width of the image in pixels.
      hidden: Channels of a joint.
      key: See `GatedAttention`.
      kernel: Size of the convolution that gives a map of each joint.
    """

    joints: int
    size: tuple[Count, Count]
    hidden: Count = 256
    key: Count = 128
    kernel: Count = 7
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):  # (b, h / 32, w / 32, c) -> (b, 2 w, k), (b, 2 h, k)
        window = self.kernel, self.kernel
        x = Conv(self.joints, window, use_bias=True, dtype=self.dtype, name="final_layer")(x)
        x = x.reshape(len(x), -1, self.joints).swapaxes(1, 2)
        x = ScaleNorm(name="norm")(x)
        x = nn.Dense(self.hidden, use_bias=False, dtype=self.dtype, name="mlp")(x)
        x = GatedAttention(self.key, dtype=self.dtype, name="gau")(x).astype(jnp.float32)
        height, width = self.size
        scores = [
            nn.Dense(size * BINS, use_bias=False, name=name)(x)
            for name, size in (("cls_x", width), ("cls_y", height))
        ]
        return tuple(score.swapaxes(1, 2) for score in scores)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"image": jax.ShapeDtypeStruct((2, *PERSON, 3), jnp.float32)}


def backbone(variant, *, dtype=jnp.float32, **overrides):
    options = {k: v for k, v in VARIANTS[variant].items() if k not in HEAD}
    return CSPNeXt(**{**options, **overrides}, dtype=dtype)


def build(
    variant,
    *,
    num_classes,
    size: tuple[Count, Count] = PERSON,
    dtype=jnp.float32,
    **overrides,
):
    """Return the estimator of `num_classes` joints; other arguments are those of `CSPNeXt`.

    Args:
      size: Height and width of the image in pixels.
    """
    options = {k: v for k, v in VARIANTS[variant].items() if k in HEAD}
    head = SimCC(num_classes, size, **options, dtype=dtype)
    return PoseNet(backbone(variant, dtype=dtype, **overrides), head)


# Weights

ORDER = (
    "backbone head stem stage1 stage2 stage3 stage4 main_conv short_conv final_conv conv1 conv2"
    " blocks attention depthwise_conv pointwise_conv conv final_layer mlp gau cls_x cls_y gamma"
    " beta o uv ln res_scale bn g weight bias running_mean running_var"
)


def openmmlab(net):
    """Return rename rows of MMPose's files: "head.mlp.1.weight" -> "head/mlp/kernel"."""
    head = (("head", "head"), ("head.mlp.0", "head/norm"), ("head.mlp.1", "head/mlp"))
    scale = (("head.gau.res_scale.scale", "head/gau/res_scale"),)
    return (*cspnext.names(net.backbone), *head, *scale)


SKIPPED = (*BUFFERS, "data_preprocessor.*")
WEIGHTS = {"mmaction": Weights(openmmlab, SKIPPED, ORDER)}
