"""MobileNetV2 (Sandler et al., 2018), https://arxiv.org/abs/1801.04381.

Each block widens few channels by a 1 x 1 convolution, filters every channel by itself, and narrows
them again without an activation: an inverted residual. It treats every frame alike.

Shapes: b batch, t frames, h height, w width, c channels.
"""

import math
from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Rate
from jaxvid.layers import heads
from jaxvid.layers.conv import ConvNorm
from jaxvid.layers.norm import NormalizedNet
from jaxvid.ops import frames
from jaxvid.weights.convert import Weights
from jaxvid.weights.names.resnet import BUFFERS

# For each stage: expansion of the blocks, output channels, number of blocks, stride of the first.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
VARIANTS: dict[str, dict] = {
    "test": dict(stem=8, stages=((1, 8, 1, 1), (2, 16, 2, 2)), last=24),
    "w100": dict(stem=32, stages=STAGES, last=1280),
}


class InvertedResidual(nn.Module):
    """(b, t, h, w, c) -> (b, t, h', w', features).

    Attributes:
      features: Output channels.
      expansion: Channels of the depthwise convolution, as a multiple of those of the input.
      stride: Stride of the depthwise convolution.
      shortcut: Add the input to the result.
      mix: Function of the input of the branch, of the same shape, that lets frames meet.
      norm: Makes the normalization layers.
    """

    features: int
    expansion: int
    stride: int
    shortcut: bool
    mix: Callable
    norm: Callable
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train):
        width, y = x.shape[-1] * self.expansion, self.mix(x)
        make = partial(ConvNorm, norm=self.norm, activation=nn.relu6, dtype=self.dtype)
        expand = [make(width, (1, 1), name="conv0")] if self.expansion > 1 else []
        i, strides = len(expand), (self.stride, self.stride)
        filters = make(width, (3, 3), strides, groups=width, name=f"conv{i}")
        project = make(self.features, (1, 1), relu=False, name=f"conv{i + 1}")
        for conv in (*expand, filters, project):
            y = conv(y, train=train)
        return x + y if self.shortcut else y


class MobileNetV2(NormalizedNet):
    """video (b, t, h, w, c) -> features (b, t, h / 32, w / 32, last).

    Attributes:
      stem: Channels of the first convolution.
      stages: For each stage, the expansion of its blocks, their channels, their number, and the
        stride of the first.
      last: Channels of the last convolution.
      mix: Function of the input of a block, of the same shape, that lets frames meet. It precedes
        the first convolution of each block with an expansion and a shortcut.
    """

    stem: Count = 32
    stages: tuple[tuple[Count, Count, Count, Count], ...] = STAGES
    last: Count = 1280
    mix: Callable = frames.unmixed

    @nn.compact
    def __call__(self, video, *, train):
        make = partial(ConvNorm, norm=self.norm, activation=nn.relu6, dtype=self.dtype)
        block = nn.remat(InvertedResidual, static_argnums=(2,)) if self.remat else InvertedResidual
        x = make(self.stem, (3, 3), (2, 2), name="conv1")(video, train=train)
        for s, (expansion, width, depth, stride) in enumerate(self.stages):
            for i in range(depth):
                x = block(
                    features=width,
                    expansion=expansion,
                    stride=1 if i else stride,
                    shortcut=i > 0,
                    mix=self.mix if self.mixes(s, i) else frames.unmixed,
                    norm=self.norm,
                    dtype=self.dtype,
                    name=f"layer{s + 1}_{i}",
                )(x, train)
        return make(self.last, (1, 1), name="conv2")(x, train=train)

    def mixes(self, stage: int, i: int) -> bool:
        """Return whether frames meet in block `i` of a stage, both from 0."""
        return self.mix is not frames.unmixed and i > 0 and self.stages[stage][0] > 1

    @property
    def stride(self) -> int:
        """Pixels of a frame from one feature to the next."""
        strides = [2, *(stride for *_, stride in self.stages)]
        return math.prod(strides)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 3, 32, 32, 3), jnp.float32)}


def backbone(variant, **overrides):
    return MobileNetV2(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.2, dtype=jnp.float32, **overrides):
    """Return a classifier of the mean over frames; other arguments are those of `MobileNetV2`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights

ORDER = (
    "backbone cls_head head conv1 layer1 layer2 layer3 layer4 layer5 layer6 layer7 conv2 fc conv bn"
    " weight bias running_mean running_var"
)


def openmmlab(net, head="cls_head.fc_cls"):
    """Rename rows of MMAction2, where a shift wraps the convolution that it precedes.

    "backbone.layer2.1.conv.0.net.conv.weight" -> "backbone/layer2_1/conv0/conv/kernel"
    """
    block, ours = "backbone.layer{s}.{b}.conv.{i}", "backbone/layer{s}_{b}/conv{i}"
    rows = [("backbone", "backbone"), (block, ours), (head, "head/fc")]
    for s, (_, _, depth, _) in enumerate(net.backbone.stages):
        for i in filter(lambda i, s=s: net.backbone.mixes(s, i), range(depth)):
            place = dict(s=s + 1, b=i, i=0)
            rows.append((block.format(**place) + ".net", ours.format(**place)))
    return tuple(rows)


def image(net):
    """Rename rows of MMPretrain, where frames do not meet: "head.fc.bias" -> "head/fc/bias"."""
    return openmmlab(net.clone(backbone=net.backbone.clone(mix=frames.unmixed)), "head.fc")


WEIGHTS = {
    "mmaction": Weights(openmmlab, BUFFERS, ORDER),
    "mmpretrain": Weights(image, BUFFERS, ORDER),
}
