"""UniFormer (Li et al., 2022), https://arxiv.org/abs/2201.04676.

Tokens of the first two stages meet only their neighbors, by depthwise convolutions over space and
time; those of the last two attend to all tokens of the clip. Every block first adds the position of
a token, which a depthwise convolution infers from its neighbors. So a clip may have any size.

Shapes: b batch, t h w token grid, c channels.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Count, Rate
from jaxvid.layers import heads, transformer
from jaxvid.layers.conv import Conv, torch_uniform
from jaxvid.layers.norm import BatchNorm, NormalizedNet
from jaxvid.layers.transformer import Remat, norm, normal, remat
from jaxvid.weights import inflate
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import fixes

WIDTHS = (64, 128, 320, 512)
LOCAL = 2  # stages whose blocks are local
VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 1, 2, 1), widths=(8, 16, 24, 32), head_width=8),
    "small": dict(depths=(3, 4, 8, 3), widths=WIDTHS, drop_path=0.1),
    "base": dict(depths=(5, 8, 20, 7), widths=WIDTHS, drop_path=0.3),
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 4, 32, 32, 3), jnp.float32)}


class LocalBlock(transformer.Block):
    """A block whose tokens meet those in a window of 5 x 5 x 5, with batch normalization.

    Attributes:
      batch_norm: Makes the normalization layers.
    """

    batch_norm: Any = BatchNorm

    @nn.compact
    def __call__(self, x, train):  # (b, t, h, w, c) -> the same
        return super().__call__(x + position(x, self.dtype), train)

    def normalize(self, name, x, train):
        return self.batch_norm(dtype=self.dtype, name=name)(x, train=train)

    def attend(self, x, train):
        dense = partial(nn.Dense, x.shape[-1], dtype=self.dtype, kernel_init=self.kernel_init)
        return dense(name="conv2")(depthwise(dense(name="conv1")(x), 5, "attn", self.dtype))


class GlobalBlock(transformer.Block):
    """A block whose tokens attend to all others of the clip."""

    @nn.compact
    def __call__(self, x, train):  # (b, t, h, w, c) -> the same
        return super().__call__(x + position(x, self.dtype), train)

    def attend(self, x, train):
        tokens = x.reshape(len(x), -1, x.shape[-1])
        return super().attend(tokens, train).reshape(x.shape)


def position(x, dtype):
    """Return the position embedding of each token (b, t, h, w, c), inferred from its neighbors."""
    return depthwise(x, 3, "pos_embed", dtype)


def depthwise(x, size, name, dtype):
    """Convolve each channel of (b, t, h, w, c) by itself, with kernels of `size` along all axes."""
    options: dict[str, Any] = dict(groups=x.shape[-1], use_bias=True, kernel_init=torch_uniform)
    return Conv(x.shape[-1], (size,) * 3, **options, dtype=dtype, name=name)(x)


class UniFormer(NormalizedNet):
    """video (b, T, H, W, 3) -> features (b, T / 2, H / 32, W / 32, c).

    Attributes:
      depths: Blocks in each stage; those of the first two are local.
      widths: Channels of each stage.
      head_width: Channels of an attention head.
      drop_path: Probability of skipping a residual branch in the last block in training; it grows
        linearly from 0 in the first.
      remat: Activations that the backward pass computes again, which saves memory and makes
        training slower: False for none, True for those of whole blocks, "dots" for all but the
        results of linear layers.
    """

    depths: tuple[Count, ...] = (5, 8, 20, 7)
    widths: tuple[Count, ...] = WIDTHS
    head_width: Count = 64
    drop_path: Rate = 0.1
    remat: Remat = False

    @property
    def stride(self) -> int:
        """Pixels of a frame from one feature to the next."""
        return 2 ** (len(self.depths) + 1)

    @nn.compact
    def __call__(self, video, *, train):
        x, rates = video, iter(np.linspace(0, self.drop_path, sum(self.depths)))
        for s, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            x = self.embed(s, width, x)
            for b in range(depth):
                x = self.block(s, width, float(next(rates)), f"stage{s}_block{b}")(x, train)
        return self.norm(dtype=self.dtype, name="norm")(x, train=train)

    def embed(self, stage, width, x):
        """Merge patches of pixels or of tokens; the first of them overlap in time."""
        pixels, tokens = ((3, 4, 4), (2, 4, 4), (1, 0, 0)), ((1, 2, 2), (1, 2, 2), (0, 0, 0))
        shape = tokens if stage else pixels
        options: dict[str, Any] = dict(use_bias=True, kernel_init=torch_uniform, dtype=self.dtype)
        x = Conv(width, *shape, **options, name=f"patch_embed{stage}")(x)
        return norm(f"patch_norm{stage}", self.dtype)(x)

    @nn.nowrap
    def block(self, stage, width, drop_path, name):
        """Make a block of a stage."""
        options: dict[str, Any] = dict(drop_path=drop_path, dtype=self.dtype, name=name)
        if stage < LOCAL:
            kind, own = LocalBlock, dict(batch_norm=self.norm, kernel_init=torch_uniform)
        else:
            kind, own = GlobalBlock, dict(kernel_init=normal)
        return remat(kind, self.remat)(width // self.head_width, **own, **options)


def backbone(variant, **overrides):
    return UniFormer(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.0, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `UniFormer`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights

ORDER = (
    "backbone cls_head patch_embed1 patch_embed2 patch_embed3 patch_embed4 blocks1 blocks2 blocks3"
    " blocks4 pos_embed norm1 conv1 conv2 attn norm2 mlp norm head qkv proj fc1 fc2 weight bias"
    " running_mean running_var"
)
# Linear layers that upstream writes as convolutions of single positions.
POINTWISE = r".*blocks[12]\.\d+\.(conv[12]|mlp\.fc[12])\.weight"


def upstream(prefix: str, head: str, axes: int) -> Weights:
    """Return the table of an upstream whose convolutions span this number of axes."""
    # "backbone.blocks1.0.mlp.fc1.weight" -> "backbone/stage0_block0/mlp/fc1/kernel"
    rows = [(head, "head/fc"), (f"{prefix}norm", "backbone/norm")]
    for s in range(4):
        embed = f"{prefix}patch_embed{s + 1}"
        rows += [
            (f"{embed}.proj", f"backbone/patch_embed{s}"),
            (f"{embed}.norm", f"backbone/patch_norm{s}"),
            (f"{prefix}blocks{s + 1}.{{b}}", f"backbone/stage{s}_block{{b}}"),
        ]

    fix = fixes.without_ones(POINTWISE, *range(2, 2 + axes))
    skip = (".*num_batches_tracked",)
    return Weights(tuple(rows), skip, ORDER, adapt=from_image, fix=fix)


def from_image(net, path, value, shape):
    """A kernel of the image model, which the video model applies to the middle frame."""
    if path.endswith("/kernel") and value.ndim == 4 and len(shape) == 5:
        return inflate.middle_kernel(value, shape[0])
    return value


WEIGHTS = {
    "mmaction": upstream("backbone.", "cls_head.fc_cls", 3),
    "official": upstream("", "head", 3),  # github.com/Sense-X/UniFormer
    "image": upstream("", "head", 2),  # the same, trained on images
}
