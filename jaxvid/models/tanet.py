"""TANet (Liu et al., 2020), https://arxiv.org/abs/2005.06803.

A 2-D ResNet whose blocks mix frames after their first convolution, by the temporal adaptive module:
each channel of a clip is convolved over time with a kernel that follows from the clip itself, and
each of its frames is scaled by a gate.

Shapes: b batch, t frames, h height, w width, c channels, k = 3 taps over time.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Rate
from jaxvid.layers import heads, resnet
from jaxvid.layers.conv import Conv, ConvNorm, torch_uniform
from jaxvid.layers.norm import BatchNorm
from jaxvid.ops import frames
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=8, frames=4),
    "r50": resnet.DEPTHS["r50"],
}
TAPS = 3


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    t = VARIANTS[variant].get("frames", TANet.frames)
    return {"video": jax.ShapeDtypeStruct((2, t, 32, 32, 3), jnp.float32)}


class TemporalAdaptive(nn.Module):
    """Convolves each channel over time with a kernel of its own for each clip.

    The kernel is computed from the means of the channel in all frames, and the gates from the means
    of all channels in three neighboring frames.
    """

    norm: Callable = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, h, w, c) -> the same
        t, c = x.shape[1], x.shape[-1]
        means = x.mean((2, 3))  # (b, t, c)
        y = self._dense(2 * t, "fc1")(jnp.swapaxes(means, 1, 2))
        y = nn.relu(self.norm(dtype=self.dtype, name="bn")(y, train=train))
        kernel = nn.softmax(self._dense(TAPS, "fc2")(y).astype(jnp.float32))  # (b, c, k)
        options: dict[str, Any] = dict(norm=self.norm, dtype=self.dtype, name="gate1")
        y = ConvNorm(c // 4, (3,), kernel_init=torch_uniform, **options)(means, train=train)
        y = Conv(c, (1,), kernel_init=torch_uniform, dtype=self.dtype, name="gate2")(y)
        x = x * nn.sigmoid(y)[:, :, None, None]
        return frames.convolve(x, jnp.swapaxes(kernel, 1, 2)).astype(self.dtype)

    def _dense(self, features, name):
        return nn.Dense(features, False, self.dtype, kernel_init=torch_uniform, name=name)


class AdaptiveBlock(resnet.Block):
    """A residual block with the temporal adaptive module after its first convolution."""

    def conv(self, i, x, train):
        x = super().conv(i, x, train)
        if i:
            return x
        return TemporalAdaptive(self.norm, self.dtype, name="tam")(x, train=train)


class TANet(resnet.ResNet):
    """video (b, t, h, w, c) -> features (b, t, h / 32, w / 32, c').

    Attributes:
      frames: Number of frames of a clip. Layers of the network depend on it.
    """

    frames: Count = 8

    def first(self, video, train):
        frames.check_count(self.frames, video)
        return super().first(video, train)

    @nn.nowrap
    def block(self, stage, i, kind=AdaptiveBlock, **fields):
        return super().block(stage, i, kind, **fields)


def backbone(variant, **overrides):
    return TANet(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `TANet`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.FrameClassifier(num_classes, dropout, dtype, init_std=0.001)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


TAM = "backbone.layer{s}.{b}.tam"
OURS = "backbone/layer{s}_{b}/tam"
# "backbone.layer1.0.block.conv2.bn.weight" -> "backbone/layer1_0/conv2/bn/scale"
# "backbone.layer1.0.tam.L.0.weight" -> "backbone/layer1_0/tam/gate1/conv/kernel"
OPENMMLAB = (
    ("backbone", "backbone"),
    ("backbone.layer{s}.{b}.block", "backbone/layer{s}_{b}"),
    (f"{TAM}.G.0", f"{OURS}/fc1"),
    (f"{TAM}.G.1", f"{OURS}/bn"),
    (f"{TAM}.G.3", f"{OURS}/fc2"),
    (f"{TAM}.L.0", f"{OURS}/gate1/conv"),
    (f"{TAM}.L.1", f"{OURS}/gate1/bn"),
    (f"{TAM}.L.3", f"{OURS}/gate2"),
    ("cls_head.fc_cls", "head/fc"),
)
# An image network has no adaptive modules: `init.skip` leaves them at their random values.
IMAGES = (*names.TORCHVISION, ("layer{s}.{b}.tam", OURS))
WEIGHTS = {
    "mmaction": Weights(OPENMMLAB, names.BUFFERS, f"{names.ORDER} tam G L"),
    "torchvision": names.recognizer(IMAGES, "fc"),
}
