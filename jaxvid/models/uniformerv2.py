"""UniFormerV2 (Li et al., 2022), https://arxiv.org/abs/2211.09552.

CLIP's vision transformer treats the frames one by one. After each of its last blocks, one token of
the whole video attends to the tokens of all frames. Their mix with the class tokens of the frames
is learned, and begins with the latter alone. Optionally, tokens of neighboring frames meet in each
block (`local`), and tokens of every second frame span three frames (`temporal_downsample`);
published models of Kinetics and Moments in Time do without.

Shapes: b batch, t frames, h w grid of the patches of a frame, n of them, c channels.
"""

from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Rate
from jaxvid.layers import heads
from jaxvid.layers.clip import FrameTransformer, normal, quick_gelu
from jaxvid.layers.conv import Conv, torch_uniform
from jaxvid.layers.norm import BatchNorm
from jaxvid.layers.transformer import Block, CrossAttention, Mlp, norm, remat
from jaxvid.weights import inflate
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import clip, fixes

LARGE = dict(patch=14, width=1024, depth=24, heads=16)
VARIANTS: dict[str, dict] = {
    "test": dict(size=32, patch=8, width=16, depth=3, heads=2, readers=2),
    "base": dict(),
    "large": LARGE,
    "large-336": dict(LARGE, size=336),
}
zeros, xavier = nn.initializers.zeros, nn.initializers.xavier_uniform()
# Upstream initializes queries, keys and values as one matrix with three times as many outputs.
joint_xavier = nn.initializers.variance_scaling(0.5, "fan_in", "uniform")


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    size = VARIANTS[variant].get("size", FrameTransformer.size)
    return {"video": jax.ShapeDtypeStruct((2, 4, size, size, 3), jnp.float32)}


class OverTime(nn.Module):
    """Tokens (b, t, 1 + n, c) of patches meet those of the frames before and after; begins with 0.

    Attributes:
      dtype: Compute dtype.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train):
        c, dense = x.shape[-1], partial(nn.Dense, dtype=self.dtype)
        width = int(c // 1.5)
        options: dict[str, Any] = dict(groups=width, use_bias=True, kernel_init=torch_uniform)
        y = BatchNorm(dtype=self.dtype, name="norm")(x[:, :, 1:], train=train)
        y = dense(width, kernel_init=torch_uniform, name="conv1")(y)
        y = Conv(width, (3, 1), **options, dtype=self.dtype, name="conv2")(y)
        y = dense(c, kernel_init=zeros, name="conv3")(y)
        return jnp.pad(y, ((0, 0), (0, 0), (1, 0), (0, 0)))


class LocalBlock(Block):
    """A block of a frame in which tokens first meet those of neighboring frames.

    Attributes:
      local: 1 for once, before the attention; 2 for a second time, before the MLP.
    """

    local: int = 1

    @nn.compact
    def __call__(self, x, train):  # (b, t, 1 + n, c) -> the same
        x = x + OverTime(self.dtype, name="local1")(x, train)
        x = x + self.attend(self.normalize("norm1", x, train), train)
        if self.local > 1:
            x = x + OverTime(self.dtype, name="local2")(x, train)
        options: dict[str, Any] = dict(activation=self.activation, kernel_init=self.kernel_init)
        mlp = Mlp(**options, dtype=self.dtype, name="mlp")
        return x + mlp(self.normalize("norm2", x, train), train)


class Reader(nn.Module):
    """A block in which the token of the video attends to the tokens of its frames.

    Its branches begin with 0.

    Attributes:
      heads: Number of attention heads.
      dropout: Dropout rate between the layers of the MLP in training.
      drop_path: Probability of skipping a residual branch of a sample in training.
      dtype: Compute dtype.
    """

    heads: int
    dropout: float = 0.0
    drop_path: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train, tokens):  # (b, 1, c), tokens (b, m, c) -> (b, 1, c)
        drop = nn.Dropout(self.drop_path, broadcast_dims=(1, 2), deterministic=not train)
        dense, c = partial(nn.Dense, dtype=self.dtype), x.shape[-1]
        init: Any = dict(kernel_init=joint_xavier, proj_init=zeros)
        attend = CrossAttention(self.heads, **init, dtype=self.dtype, name="attn")
        x = x + drop(attend(norm("norm1", self.dtype)(x), norm("norm3", self.dtype)(tokens)))
        y = dense(4 * c, kernel_init=xavier, name="fc1")(norm("norm2", self.dtype)(x))
        y = nn.Dropout(self.dropout, deterministic=not train)(quick_gelu(y))
        return x + drop(dense(c, kernel_init=zeros, name="fc2")(y))


class UniFormerV2(FrameTransformer):
    """video (b, t, H, W, 3) -> features (b, 1, 1, 1, c), of any number of frames.

    Attributes:
      readers: Number of last blocks whose tokens the token of the video attends to.
      reader_dropout: Dropout rate in the MLPs of these attending blocks in training.
      drop_path: Probability of skipping a residual branch of the last of them in training; it grows
        linearly from 0 in the first.
      local: Times that tokens meet those of neighboring frames in each block: 0 for the published
        models here, 1 or 2.
      temporal_downsample: Make tokens of every second frame only, from three frames each.
    """

    readers: Count = 4
    reader_dropout: Rate = 0.5
    drop_path: Rate = 0.0
    local: Literal[0, 1, 2] = 0
    temporal_downsample: bool = False

    def patches(self, video):
        if not self.temporal_downsample:
            return super().patches(video)
        kernel, strides = (3, self.patch, self.patch), (2, self.patch, self.patch)
        options: dict[str, Any] = dict(kernel_init=normal, dtype=self.dtype, name="patch_embed")
        return Conv(self.width, kernel, strides, (1, 0, 0), **options)(video)

    @nn.compact
    def __call__(self, video, *, train):
        token = self.param("video_embedding", zeros, (self.width,))
        balance = self.param("balance", zeros, (self.width,))
        y = jnp.broadcast_to(token.astype(self.dtype), (len(video), 1, self.width))
        own: dict[str, Any] = dict(kind=LocalBlock, local=self.local) if self.local else {}
        tokens = self.each_block(self.embed(video), train=train, **own)
        for i, x in enumerate(tokens[-self.readers :]):
            y = self.read(i, y, x, train)
        share = nn.sigmoid(balance).astype(self.dtype)
        y = (1 - share) * y[:, 0] + share * tokens[-1][:, :, 0].mean(1)
        return norm("norm", self.dtype)(y)[:, None, None, None]

    def read(self, i, y, x, train):
        """Update the token of the video y (b, 1, c) from the tokens of frames (b, t, 1 + n, c)."""
        side = self.size // self.patch
        options: dict[str, Any] = dict(groups=self.width, use_bias=True, kernel_init=torch_uniform)
        position = Conv(self.width, (3, 3, 3), **options, dtype=self.dtype, name=f"pos_embed{i}")
        patches = x[:, :, 1:]
        maps = patches.reshape(*x.shape[:2], side, side, self.width)
        patches = patches + position(maps).reshape(patches.shape)
        tokens = jnp.concatenate([x[:, :, :1], patches], 2).reshape(len(x), -1, self.width)
        rate = self.drop_path * i / max(self.readers - 1, 1)
        options = dict(dropout=self.reader_dropout, drop_path=rate, dtype=self.dtype)
        return remat(Reader, self.remat)(self.heads, **options, name=f"reader{i}")(y, train, tokens)


def backbone(variant, **overrides):
    return UniFormerV2(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `UniFormerV2`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype, init_std=0.02)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights

# "backbone.transformer.dec.0.attn.q.weight" -> "backbone/reader0/attn/q/kernel"
READER = {"attn.out_proj": "attn/proj", "mlp.c_fc": "fc1", "mlp.c_proj": "fc2"} | {
    f"ln_{i}": f"norm{i}" for i in (1, 2, 3)
}
ROWS = (
    ("cls_head.fc_cls", "head/fc"),
    ("backbone.class_embedding", "backbone/class_embedding"),
    ("backbone.positional_embedding", "backbone/positional_embedding"),
    ("backbone.conv1", "backbone/patch_embed"),
    ("backbone.ln_pre", "backbone/norm_pre"),
    ("backbone.transformer", "backbone"),
    ("backbone.transformer.temporal_cls_token", "backbone/video_embedding"),
    *clip.blocks("backbone.transformer", "backbone"),
    ("backbone.transformer.dpe.{i}", "backbone/pos_embed{i}"),
    ("backbone.transformer.dec.{i}", "backbone/reader{i}"),
    *(
        (f"backbone.transformer.dec.{{i}}.{theirs}", f"backbone/reader{{i}}/{ours}")
        for theirs, ours in READER.items()
    ),
)
# "backbone.transformer.resblocks.0.lmhra1.pos_embed.1.bias" -> "backbone/block0/local1/conv1/bias"
LOCAL = "backbone.transformer.resblocks.{i}.lmhra{j}.pos_embed"
ROWS += tuple(
    (f"{LOCAL}.{k}", f"backbone/block{{i}}/local{{j}}/{ours}")
    for k, ours in enumerate(("norm", "conv1", "conv2", "conv3"))
)
ORDER = (
    "backbone cls_head class_embedding positional_embedding conv1 ln_pre transformer"
    " temporal_cls_token balance resblocks dpe dec norm lmhra1 lmhra2 attn ln_1 mlp ln_2 ln_3"
    " in_proj_weight in_proj_bias out_proj c_fc c_proj weight bias running_mean running_var"
)


def adapt(net, path, value, shape):
    """Begin with the patches of CLIP in the middle frame, and resize its positions."""
    if path.endswith("patch_embed/kernel") and value.ndim == 4:
        return inflate.middle_kernel(value, shape[0])
    return clip.adapt(net, path, value, shape)


READERS = r".*\.dec\.\d+\.attn\."
FIX = fixes.chain(
    fixes.each(
        r"(backbone\.)?conv1\.weight",
        lambda x: x.squeeze(2) if x.shape[2] == 1 else x,
        lambda x: x[:, :, None] if x.ndim == 4 else x,
    ),
    fixes.without_ones(r".*temporal_cls_token", 0, 1),
    fixes.without_ones(r".*lmhra\d\.pos_embed\.[13]\.weight", 2, 3, 4),
    fixes.without_ones(r".*lmhra\d\.pos_embed\.2\.weight", 4),
    *(
        fixes.parted(READERS + whole, whole, {f"q.{leaf}": 1, f"kv.{leaf}": 2})
        for whole, leaf in (("in_proj_weight", "weight"), ("in_proj_bias", "bias"))
    ),
)
SKIP = (
    "backbone.proj",
    "backbone.ln_post.*",
    ".*num_batches_tracked",
)  # of CLIP, in the files to start from
WEIGHTS = {"mmaction": Weights(ROWS, SKIP, ORDER, adapt=adapt, fix=FIX)}
