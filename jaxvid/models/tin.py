"""Temporal Interlacing Network (Shao et al., 2020), https://arxiv.org/abs/2001.06499.

A 2-D ResNet in which, before each block, a quarter of the channels moves in time. It is TSM's shift
by distances that follow from the clip, also fractions of frames, and with a weight for each frame.

Shapes: b batch, t frames, h height, w width, c channels, g = 4 groups of channels, k taps
over time.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Rate
from jaxvid.errors import UserError
from jaxvid.layers import heads, resnet
from jaxvid.layers.conv import Conv
from jaxvid.ops import frames
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=16, frames=4),
    "r50": resnet.DEPTHS["r50"],
}
REACH = 2  # frames that a channel moves at most
START = 0.5108  # of the distances before their sigmoid: half a frame


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    t = VARIANTS[variant].get("frames", TIN.frames)
    return {"video": jax.ShapeDtypeStruct((2, t, 32, 32, 3), jnp.float32)}


class Interlace(nn.Module):
    """Moves the first channels in time in four groups, two by learned distances and two opposite.

    Attributes:
      share: Divisor n of the share 1/n of channels that move.
    """

    share: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):  # (b, t, h, w, c) -> the same
        t, count = x.shape[1], x.shape[-1] // self.share
        moving, still = jnp.split(x, (count,), axis=-1)
        means = moving.mean((2, 3))  # (b, t, count)
        y = Conv(1, (3,), use_bias=True, dtype=self.dtype, name="offset")(means)[..., 0]
        y = nn.relu(nn.Dense(t, dtype=self.dtype, name="fc1")(y))
        start = nn.initializers.constant(START)
        y = nn.Dense(2, dtype=self.dtype, bias_init=start, name="fc2")(y).astype(jnp.float32)
        offset = 2 * REACH * (nn.sigmoid(y) - 0.5)
        kernel = shifts(jnp.concatenate([offset, -offset], -1))  # (b, k, g)
        y = Conv(2, (3,), use_bias=True, dtype=self.dtype, name="weight")(means)
        weight = 2 * nn.sigmoid(jnp.concatenate([y, y], -1))  # (b, t, g)
        kernel, weight = (jnp.repeat(a, count // a.shape[-1], axis=-1) for a in (kernel, weight))
        moved = frames.convolve(moving, kernel.astype(self.dtype)) * weight[:, :, None, None]
        return jnp.concatenate([moved.astype(x.dtype), still], axis=-1)


def shifts(offset: jax.Array) -> jax.Array:
    """Return kernels (b, k, g) that move groups by (b, g) frames, with linear interpolation."""
    taps = jnp.arange(REACH, -REACH - 1, -1)[:, None]
    return nn.relu(1 - jnp.abs(offset[:, None] - taps))


class InterlaceBlock(resnet.Block):
    """A residual block whose branch sees moved channels, and whose shortcut does not.

    Attributes:
      share: as of `Interlace`.
    """

    share: int = 4

    def conv(self, i, x, train):
        if i == 0:
            x = Interlace(self.share, self.dtype, name="interlace")(x)
        return super().conv(i, x, train)


class TIN(resnet.ResNet):
    """video (b, t, h, w, c) -> features (b, t, h / 32, w / 32, c').

    Attributes:
      frames: Number of frames of a clip. Layers of the network depend on it.
      share: Before the first convolution of a block, 1/share of the channels move in time.
    """

    frames: Count = 8
    share: Count = 4

    def first(self, video, train):
        frames.check_count(self.frames, video)
        if self.width % (4 * self.share):
            raise UserError(
                f"config.model.width={self.width}: 1/{self.share} of the channels move in four"
                f" groups, so the width must be a multiple of {4 * self.share}"
            )
        return super().first(video, train)

    @nn.nowrap
    def block(self, stage, i, kind=InterlaceBlock, **fields):
        return super().block(stage, i, kind, **{"share": self.share, **fields})


def backbone(variant, **overrides):
    return TIN(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `TIN`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.FrameClassifier(num_classes, dropout, dtype, init_std=0.001)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


CONV = "backbone.layer{s}.{b}.conv1.conv"
OURS = "backbone/layer{s}_{b}"
# "backbone.layer1.0.conv1.conv.net1.offset_net.fc1.bias" -> "backbone/layer1_0/interlace/fc1/bias"
OPENMMLAB = (
    *names.OPENMMLAB,
    (f"{CONV}.net1.offset_net.conv", f"{OURS}/interlace/offset"),
    (f"{CONV}.net1.offset_net.fc1", f"{OURS}/interlace/fc1"),
    (f"{CONV}.net1.offset_net.fc2", f"{OURS}/interlace/fc2"),
    (f"{CONV}.net1.weight_net.conv", f"{OURS}/interlace/weight"),
    (f"{CONV}.net2", f"{OURS}/conv1/conv"),
)
# What it starts from has no such modules: `init.skip` leaves them at their random values.
TSM = (
    *names.OPENMMLAB,
    (f"{CONV}.net", f"{OURS}/conv1/conv"),
    ("backbone.layer{s}.{b}.interlace", f"{OURS}/interlace"),
)
IMAGES = (*names.TORCHVISION, ("layer{s}.{b}.interlace", f"{OURS}/interlace"))
ORDER = f"{names.ORDER} net1 net2 offset_net weight_net fc1 fc2"
WEIGHTS = {
    "mmaction": Weights((*OPENMMLAB, ("cls_head.fc_cls", "head/fc")), names.BUFFERS, ORDER),
    "tsm": names.recognizer(TSM, "cls_head.fc_cls"),
    "torchvision": names.recognizer(IMAGES, "fc"),
}
