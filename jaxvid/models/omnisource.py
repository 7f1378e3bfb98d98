"""OmniSource (Duan et al., 2020), https://arxiv.org/abs/2003.13042.

A SlowOnly network learns from clips and from images at once. An image passes through the same
layers without its axis of time, with the kernels of the clips summed over time. So it gives the
features of a clip that repeats the image without end. Clips and images have a head each.

Shapes: b clips, n images, t frames, h height, w width, c channels.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Rate
from jaxvid.layers import conv, resnet
from jaxvid.layers.norm import BatchNorm
from jaxvid.ops.conv import conv as convolve
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=4, time=(1, 3)),
    "r50": resnet.DEPTHS["r50"],
}


class Conv(conv.Conv):
    """A convolution of clips (b, t, h, w, c), or of images (n, h, w, c)."""

    @nn.compact
    def __call__(self, x):
        if x.ndim == 5:
            return super().__call__(x)
        shape = (*self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape).sum(0).astype(self.dtype)
        pads = tuple((size - 1) // 2 for size in self.kernel[1:])
        return convolve(x.astype(self.dtype), kernel, self.strides[1:] or (1, 1), pads)


class ConvNorm(conv.ConvNorm):
    """A convolution of clips or images, with BatchNorm, and ReLU unless `relu` is off.

    Images are normalized with the statistics of their batch, but do not update the running ones.
    """

    @nn.compact
    def __call__(self, x, *, train):
        update = x.ndim == 5
        x = Conv(self.features, self.kernel, self.strides, dtype=self.dtype, name="conv")(x)
        x = self.norm(dtype=self.dtype, update=update, name="bn")(x, train=train)
        return nn.relu(x) if self.relu else x


class OmniSource(resnet.ResNet):
    """Clips (b, t, h, w, c) -> (b, t, h / 32, w / 32, c'), or images without the axis of time.

    The order of the rows of the two kinds does not matter, because their statistics are separate.
    """

    stem: tuple[Count, ...] = (1, 7, 7)
    time: tuple[Count, ...] = (1, 1, 3, 3)

    @property
    def norm(self):
        return partial(super().norm, momentum=0.99)

    @nn.nowrap
    def stem_conv(self):
        strides = self.lift(2, 2)
        return ConvNorm(self.width, self.stem, strides, norm=self.norm, dtype=self.dtype)

    @nn.nowrap
    def block(self, stage, i, kind=resnet.Block, **fields):
        return super().block(stage, i, kind, **{"conv_norm": ConvNorm, **fields})


class Heads(nn.Module):
    """Two heads: a hidden layer and a classifier of clips, and a classifier of images.

    Attributes:
      dropout: Share of the features of a clip that is dropped in training.
      image_dropout: The same for images.
      init_std: Standard deviation of the initial weights.
    """

    num_classes: int
    image_classes: int
    dropout: float = 0.5
    image_dropout: float = 0.2
    init_std: float = 0.01
    dtype: Any = jnp.float32

    def setup(self):
        init = nn.initializers.normal(self.init_std)
        dense = partial(nn.Dense, kernel_init=init, dtype=self.dtype)
        self.fc1, self.fc2 = dense(2 * self.num_classes), dense(self.num_classes)
        self.bn, self.image_bn = BatchNorm(dtype=self.dtype), BatchNorm(dtype=self.dtype)
        self.image_fc = dense(self.image_classes)
        self.drop, self.drop_image = nn.Dropout(self.dropout), nn.Dropout(self.image_dropout)

    def clips(self, x, train):  # (b, ..., c) -> (b, classes)
        x = nn.relu(self.bn(self.fc1(pooled(x)), train=train))
        return self.fc2(self.drop(x, deterministic=not train)).astype(jnp.float32)

    def images(self, x, train):  # (n, ..., c) -> (n, image classes)
        x = self.image_bn(pooled(x), train=train)
        return self.image_fc(self.drop_image(x, deterministic=not train)).astype(jnp.float32)


class Recognizer(nn.Module):
    """Classifies clips, images, or both."""

    backbone: nn.Module
    head: Heads

    def __call__(self, video=None, image=None, *, train):
        """Return logits of clips (b, classes), of images (n, image classes), or both in a tuple."""
        given = [x for x in (video, image) if x is not None]
        features = [self.backbone(x, train=train) for x in given]
        if len(features) == 2 or self.is_initializing():  # both heads have parameters
            both = self.head.clips(features[0], train), self.head.images(features[-1], train)
            return both if len(features) == 2 else both[video is None]
        return (self.head.images if video is None else self.head.clips)(features[0], train)


def pooled(x):
    """Return the mean over all positions, (b, ..., c) -> (b, c)."""
    return x.mean(tuple(range(1, x.ndim - 1)))


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two clips."""
    return {"video": jax.ShapeDtypeStruct((2, 4, 32, 32, 3), jnp.float32)}


def backbone(variant, **overrides):
    return OmniSource(**{**VARIANTS[variant], **overrides})


def build(
    variant,
    *,
    num_classes,
    image_classes: Count = 1000,
    dropout: Rate = 0.5,
    image_dropout: Rate = 0.2,
    dtype=jnp.float32,
    **overrides,
):
    """Return the recognizer; other arguments are those of `OmniSource`.

    Args:
      image_classes: Number of classes of the images.
      dropout: Share of the features of a clip that is dropped in its head in training.
      image_dropout: Share of the features of an image that is dropped in its head in training.
    """
    head = Heads(num_classes, image_classes, dropout, image_dropout, dtype=dtype)
    return Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# MMAction2: "backbone.layer1.0.bn1.weight" -> "backbone/layer1_0/conv1/bn/scale"
ROWS = (
    *((f"backbone.{torch}", ours) for torch, ours in names.TORCHVISION),
    ("cls_head.fc2d.2", "head/image_bn"),
    ("cls_head.fc2d.4", "head/image_fc"),
    ("cls_head.fc3d.2", "head/fc1"),
    ("cls_head.fc3d.3", "head/bn"),
    ("cls_head.fc3d.6", "head/fc2"),
)
# In its blocks, all convolutions precede the normalization layers.
ORDER = names.ORDER.replace("conv1 bn1 conv2 bn2 conv3 bn3", "conv1 conv2 conv3 bn1 bn2 bn3")
ORDER = ORDER.replace("cls_head", "cls_head fc2d fc3d 2 3 4 6")
WEIGHTS = {"mmaction": Weights(ROWS, names.BUFFERS, ORDER)}
