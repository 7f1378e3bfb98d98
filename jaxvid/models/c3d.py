"""C3D (Tran et al., 2015), https://arxiv.org/abs/1412.0767.

3 x 3 x 3 convolutions with biases and no normalization, in five stages that end in a max-pool, then
two wide linear layers. These fix the size of the clip: 16 frames of 112 x 112 as published.
"""

import string
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, NonNegative, Rate
from jaxvid.layers import heads
from jaxvid.layers.conv import Conv
from jaxvid.ops.pooling import max_pool
from jaxvid.weights.convert import Weights

VARIANTS: dict[str, dict] = {
    "test": dict(widths=((4,), (8,), (8, 8)), hidden=16),
    "base": dict(),
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    size = (8, 32, 32) if variant == "test" else (16, 112, 112)
    return {"video": jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)}


class Stage(nn.Module):
    """Convolutions, each with a ReLU, and a max-pool.

    Attributes:
      widths: Channels that each convolution makes.
      pool: Size and stride of the max-pool, over (t, h, w).
      padding: Padding of the max-pool on both sides of each row and column.
    """

    widths: tuple[int, ...]
    pool: tuple[int, int, int]
    padding: int
    dtype: Any

    @nn.compact
    def __call__(self, x):
        for name, width in zip(string.ascii_lowercase, self.widths, strict=False):
            x = nn.relu(Conv(width, (3, 3, 3), use_bias=True, dtype=self.dtype, name=name)(x))
        return max_pool(x, self.pool, self.pool, (0, self.padding, self.padding))


class C3D(nn.Module):
    """video (b, t, h, w, c) -> features (b, 1, 1, 1, hidden).

    Attributes:
      widths: Channels of the convolutions in each stage.
      hidden: Features of the linear layers.
      dropout: Share of the features that is dropped between the linear layers in training.
      init_std: Standard deviation of the initial weights of the linear layers.
      remat: Recompute the stages in the backward pass instead of storing their activations. This
        saves memory and makes training slower.
    """

    widths: tuple[tuple[Count, ...], ...] = ((64,), (128,), (256, 256), (512, 512), (512, 512))
    hidden: Count = 4096
    dropout: Rate = 0.5
    init_std: NonNegative = 0.005
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video, *, train):
        x = video
        for s, widths in enumerate(self.widths, 1):
            stage = (nn.remat(Stage) if self.remat else Stage)(
                widths,
                pool=(1 if s == 1 else 2, 2, 2),
                padding=int(s == len(self.widths)),
                dtype=self.dtype,
                name=f"conv{s}",
            )
            x = stage(x)
        x = jnp.moveaxis(x, -1, 1).reshape(len(x), -1)  # the published order: (c, t, h, w)
        x = nn.Dropout(self.dropout, deterministic=not train)(self._linear("fc6", x))
        x = self._linear("fc7", x)
        return x.reshape(len(x), 1, 1, 1, -1)

    def _linear(self, name, x):
        init = nn.initializers.normal(self.init_std)
        return nn.relu(nn.Dense(self.hidden, dtype=self.dtype, kernel_init=init, name=name)(x))


def backbone(variant, **overrides):
    return C3D(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `C3D`.

    Args:
      dropout: Share of the features that is dropped in training, between the linear layers and
        before the classifier.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dropout=dropout, dtype=dtype, **overrides), head)


# "backbone.conv3b.conv.weight" -> "backbone/conv3/b/kernel"
ROWS = (
    ("backbone", "backbone"),
    ("backbone.conv{s}{i}.conv", "backbone/conv{s}/{i}"),
    ("cls_head.fc_cls", "head/fc"),
)
ORDER = (
    "backbone cls_head conv1a conv2a conv3a conv3b conv4a conv4b conv5a conv5b fc6 fc7 weight bias"
)
WEIGHTS = {"mmaction": Weights(ROWS, order=ORDER)}
