"""DenseNet (Huang et al., 2017), https://arxiv.org/abs/1608.06993.

Each layer sees the outputs of all earlier layers of its block. It treats every frame alike.

Shapes: b batch, t frames, h height, w width, c channels.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Rate
from jaxvid.layers import heads
from jaxvid.layers.conv import Conv, ConvNorm
from jaxvid.layers.norm import NormalizedNet
from jaxvid.ops.pooling import max_pool
from jaxvid.weights.convert import Weights
from jaxvid.weights.names.resnet import BUFFERS

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(2, 2), growth=4, stem=8),
    "121": dict(depths=(6, 12, 24, 16), growth=32, stem=64),
    "161": dict(depths=(6, 12, 36, 24), growth=48, stem=96),
    "169": dict(depths=(6, 12, 32, 32), growth=32, stem=64),
    "201": dict(depths=(6, 12, 48, 32), growth=32, stem=64),
}


class DenseLayer(nn.Module):
    """(b, t, h, w, c) -> (b, t, h, w, c + growth): the input and what is computed from it."""

    growth: int
    norm: Callable
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train):
        y = nn.relu(self.norm(dtype=self.dtype, name="norm1")(x, train=train))
        y = Conv(4 * self.growth, (1, 1), dtype=self.dtype, name="conv1")(y)
        y = nn.relu(self.norm(dtype=self.dtype, name="norm2")(y, train=train))
        y = Conv(self.growth, (3, 3), dtype=self.dtype, name="conv2")(y)
        return jnp.concatenate([x, y], axis=-1)


class Transition(nn.Module):
    """(b, t, h, w, c) -> (b, t, h / 2, w / 2, c / 2)."""

    norm: Callable
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train):
        x = nn.relu(self.norm(dtype=self.dtype, name="norm")(x, train=train))
        x = Conv(x.shape[-1] // 2, (1, 1), dtype=self.dtype, name="conv")(x)
        return nn.avg_pool(x, (1, 2, 2), (1, 2, 2))


class DenseNet(NormalizedNet):
    """video (b, t, h, w, c) -> features (b, t, h / 32, w / 32, c').

    Attributes:
      depths: Layers in each dense block.
      growth: Channels that each layer adds.
      stem: Channels of the first convolution.
      relu: Apply a ReLU to the features, as a classifier of images does. The TSN of MMAction2 does
        not.
    """

    depths: tuple[Count, ...] = (6, 12, 24, 16)
    growth: Count = 32
    stem: Count = 64
    relu: bool = True

    @nn.compact
    def __call__(self, video, *, train):
        options = dict(norm=self.norm, dtype=self.dtype)
        layer = nn.remat(DenseLayer, static_argnums=(2,)) if self.remat else DenseLayer
        x = ConvNorm(self.stem, (7, 7), (2, 2), **options, name="conv0")(video, train=train)
        x = max_pool(x, (3, 3), (2, 2), (1, 1))
        for s, depth in enumerate(self.depths, 1):
            for i in range(1, depth + 1):
                x = layer(self.growth, **options, name=f"denseblock{s}_layer{i}")(x, train)
            if s < len(self.depths):
                x = Transition(**options, name=f"transition{s}")(x, train)
        x = self.norm(dtype=self.dtype, name="norm5")(x, train=train)
        return nn.relu(x) if self.relu else x

    @property
    def stride(self) -> int:
        """Pixels of a frame from one feature to the next."""
        return 2 * 2 ** len(self.depths)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 3, 32, 32, 3), jnp.float32)}


def backbone(variant, **overrides):
    return DenseNet(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.0, dtype=jnp.float32, **overrides):
    """Return a classifier of the mean over frames; other arguments are those of `DenseNet`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights

LAYERS = " ".join(f"denselayer{b}" for b in range(1, 49))
ORDER = (
    "backbone cls_head features conv0 norm0 denseblock1 transition1 denseblock2 transition2"
    f" denseblock3 transition3 denseblock4 norm5 {LAYERS} norm1 conv1 norm2 conv2 norm conv fc_cls"
    " classifier weight bias running_mean running_var"
)


def upstream(prefix: str, head: str, point: str = "") -> Weights:
    """Return the table of an upstream.

    Args:
      prefix: What precedes all names of the backbone.
      head: Name of the classifier.
      point: What divides a kind of layer from its number: "norm1", or "norm.1" in old files.
    """
    # "backbone.features.denseblock1.denselayer2.norm1.bias"
    # -> "backbone/denseblock1_layer2/norm1/bias"
    layer, ours = "denseblock{s}.denselayer{b}", "backbone/denseblock{s}_layer{b}"
    rows = (
        ("conv0", "backbone/conv0/conv"),
        ("norm0", "backbone/conv0/bn"),
        *((f"{layer}.{kind}{point}{{i}}", f"{ours}/{kind}{{i}}") for kind in ("norm", "conv")),
        ("transition{s}", "backbone/transition{s}"),
        ("norm5", "backbone/norm5"),
    )
    named = tuple((f"{prefix}features.{torch}", path) for torch, path in rows)
    return Weights((*named, (head, "head/fc")), BUFFERS, ORDER)


WEIGHTS = {
    "mmaction": upstream("backbone.", "cls_head.fc_cls"),
    "torchvision": upstream("", "classifier"),
    # the published files, whose names torchvision changes when it loads them
    "torchvision_file": upstream("", "classifier", "."),
}
