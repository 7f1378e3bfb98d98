"""ActionFormer (Zhang et al., 2022), https://arxiv.org/abs/2202.07925.

From the features of an untrimmed video, transformer blocks with local attention make a pyramid of
time. At each point of the pyramid, one head predicts the classes of the action around it, and
another one the distances to its start and end.

Shapes: b batch, t steps of time, c channels; t' = t / 2^i at level i.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Count, Natural, Rate
from jaxvid.layers.timeline import (
    ConvBlock,
    ConvNormRelu,
    Points,
    Scale,
    Tower,
    add_positions,
    check,
    class_bias,
    hide,
    inputs_of,
    step_mask,
)
from jaxvid.layers.transformer import norm
from jaxvid.weights.convert import Weights
from jaxvid.weights.names.fixes import chain, without_ones

VARIANTS: dict[str, dict] = {
    "test": dict(width=16, heads=2, window=(5, 3, 0), channels=12, stem=1, levels=3),
    "mini": dict(width=96, heads=4, window=(9,) * 5, levels=5),
    "base": dict(),
    "thumos": dict(channels=2048, input_dropout=0.2),
    "anet": dict(channels=512, width=256, window=(25,) * 5 + (0,), positions=768, dropout=0.1),
    "epic": dict(channels=2304, window=(9,) * 6, dropout=0.1),
}


class Pyramid(nn.Module):
    """Embedding, transformer blocks and a normalization of each level.

    Attributes:
      channels: Number of channels of the input features; 0 accepts any number.
      width: Number of channels of the network.
      heads: Number of attention heads.
      window: Number of steps that a query sees, at each level; 0 means all steps.
      stem: Number of blocks before the pyramid.
      levels: Number of levels of the pyramid. Each has half as many steps as the one before.
      positions: Length of a table of sines and cosines that is added to the steps; 0 adds none.
        It is resized if the input is longer.
      input_dropout: Rate at which channels of the input are set to 0 in training.
      dropout: Dropout rate inside the blocks.
      drop_path: Rate at which the branches of a block are dropped in training.
      authors: Hide padding before the normalization, with an epsilon of 1e-5, as in the authors'
        code. If False, hide it after the activation, with 1e-6, as in OpenTAD.
      remat: Recompute the blocks in the backward pass instead of storing their activations.
    """

    channels: Natural = 0
    width: Count = 512
    heads: Count = 4
    window: tuple[Natural, ...] = (19,) * 6
    stem: Natural = 2
    levels: Count = 6
    positions: Natural = 0
    input_dropout: Rate = 0.0
    dropout: Rate = 0.0
    drop_path: Rate = 0.1
    authors: bool = False
    remat: bool = False
    dtype: Any = jnp.float32

    @property
    def conv(self) -> dict[str, Any]:
        """Options of `ConvNormRelu` and `Tower`."""
        epsilon = 1e-5 if self.authors else 1e-6
        return dict(hide_last=not self.authors, epsilon=epsilon, dtype=self.dtype)

    @nn.compact
    def __call__(self, feature, rows, *, train=False):
        """Return (b, t', c) for each level.

        Args:
          feature: (b, t, channels), with t a multiple of the last level's stride.
          rows: (b,), number of steps of each video; the others are padding.
        """
        check(self, feature.shape)
        drop = nn.Dropout(self.input_dropout, broadcast_dims=(1,), deterministic=not train)
        mask = step_mask(rows, feature.shape[1])
        x = drop(hide(feature.astype(self.dtype), mask))
        for i in range(2):
            x = ConvNormRelu(self.width, **self.conv, name=f"embed{i}")(x, mask)
        x = add_positions(x, mask, self.positions)
        kind = nn.remat(ConvBlock, static_argnums=(3,)) if self.remat else ConvBlock

        def block(name, level, stride, x):
            options = self.drop_path, self.dropout, self.dtype
            reach = self.window[level] // 2
            make = kind(self.heads, reach, stride, *options, name=name)
            return make(x, mask[:, :: 2**level], train)

        for i in range(self.stem):
            x = block(f"stem{i}", 0, 1, x)
        maps = [x]
        for i in range(1, self.levels):
            maps.append(block(f"branch{i - 1}", i, 2, maps[-1]))
        epsilon = self.conv["epsilon"]
        return tuple(norm(f"level{i}", self.dtype, epsilon)(x) for i, x in enumerate(maps))


class ActionFormer(nn.Module):
    """The pyramid with its two heads: feature (b, t, c) and rows (b,) -> Points."""

    backbone: Pyramid
    num_classes: int

    @nn.compact
    def __call__(self, feature, rows, *, train):
        base = self.backbone
        maps = base(feature, rows, train=train)
        return PointHead(self.num_classes, base.width, base.conv, name="head")(maps, rows)


class PointHead(nn.Module):
    """The heads that all levels share: (b, t', c) for each level -> Points.

    Attributes:
      width: Channels of the convolutions.
      conv: Options of `Tower`.
    """

    num_classes: int
    width: int
    conv: dict[str, Any]

    @nn.compact
    def __call__(self, maps, rows):
        bias = class_bias()
        classify = Tower(self.num_classes, self.width, bias=bias, **self.conv, name="classes")
        locate = Tower(2, self.width, **self.conv, name="offsets")
        logits, offsets = [], []
        for i, x in enumerate(maps):
            mask = step_mask(rows, maps[0].shape[1])[:, :: 2**i]
            logits.append(classify(x, mask))
            distance = Scale(name=f"scale{i}")(locate(x, mask))
            offsets.append(distance[:, :, None])
        return Points(tuple(logits), tuple(offsets))


def example(variant):
    """Return shapes and dtypes of a batch of two small inputs, by name."""
    return inputs_of(backbone(variant))


def backbone(variant, **overrides):
    return Pyramid(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, agnostic: bool = False, dtype=jnp.float32, **overrides):
    """Return the detector; other arguments are those of `Pyramid`.

    Args:
      agnostic: Predict one score for all classes instead of one for each.
    """
    net = backbone(variant, dtype=dtype, **overrides)
    return ActionFormer(net, 1 if agnostic else num_classes)


# Weights

BLOCK = (
    ("ln1", "norm1"),
    ("ln2", "norm2"),
    ("mlp.0", "fc1"),
    ("mlp.3", "fc2"),
    ("drop_path_attn.scale", "ls1/gamma"),
    ("drop_path_mlp.scale", "ls2/gamma"),
    ("attn", "attn"),
    ("attn.query_conv.conv", "attn/query_conv"),
    ("attn.key_conv.conv", "attn/key_conv"),
    ("attn.value_conv.conv", "attn/value_conv"),
)


def blocks(pyramid: str):
    """Return the rows of the blocks below the upstream's module `pyramid`."""
    return tuple(
        (f"{pyramid}.{kind}.{{b}}.{theirs}", f"backbone/{kind}{{b}}/{ours}")
        for kind in ("stem", "branch")
        for theirs, ours in BLOCK
    )


# "projection.stem.0.attn.query_conv.conv.weight" -> "backbone/stem0/attn/query_conv/kernel"
OPENTAD = (
    *blocks("projection"),
    ("projection.embed.{i}.conv", "backbone/embed{i}/conv"),
    ("projection.embed.{i}.norm", "backbone/embed{i}/norm"),
    ("neck.fpn_norms.{i}", "backbone/level{i}"),
    ("rpn_head.cls_convs.{i}.conv", "head/classes/conv{i}/conv"),
    ("rpn_head.cls_convs.{i}.norm", "head/classes/conv{i}/norm"),
    ("rpn_head.cls_head", "head/classes/out"),
    ("rpn_head.reg_convs.{i}.conv", "head/offsets/conv{i}/conv"),
    ("rpn_head.reg_convs.{i}.norm", "head/offsets/conv{i}/norm"),
    ("rpn_head.reg_head", "head/offsets/out"),
    ("rpn_head.scale.{i}.scale", "head/scale{i}/gamma"),
)
# "backbone.stem.0.attn.query_conv.conv.weight" -> "backbone/stem0/attn/query_conv/kernel"
AUTHORS = (
    *blocks("backbone"),
    ("backbone.embd.{i}.conv", "backbone/embed{i}/conv"),
    ("backbone.embd_norm.{i}", "backbone/embed{i}/norm"),
    ("neck.fpn_norms.{i}", "backbone/level{i}"),
    ("cls_head.head.{i}.conv", "head/classes/conv{i}/conv"),
    ("cls_head.norm.{i}", "head/classes/conv{i}/norm"),
    ("cls_head.cls_head.conv", "head/classes/out"),
    ("reg_head.head.{i}.conv", "head/offsets/conv{i}/conv"),
    ("reg_head.norm.{i}", "head/offsets/conv{i}/norm"),
    ("reg_head.offset_head.conv", "head/offsets/out"),
    ("reg_head.scale.{i}.scale", "head/scale{i}/gamma"),
)
NORMALIZER = 100  # what OpenTAD divides the first loss by
# Convolutions over one step are linear layers here.
STEPS = without_ones(r".*\.(attn\.(query|key|value|proj)|mlp\.\d)\.weight", 2)
SCALES = without_ones(r".*\.drop_path_\w+\.scale", 0, 2)
NORMS = without_ones(
    r".*\.(embd_norm|fpn_norms|norm|ln|ln1|ln2|\w+_norm)(\.\d+)?\.(weight|bias)", 0, 2
)
ORDER = (
    "projection backbone embed embd embd_norm conv norm stem branch ln1 ln2 attn query_conv"
    " query_norm key_conv key_norm value_conv value_norm key query value proj mlp drop_path_attn"
    " drop_path_mlp neck rpn_head loss_normalizer cls_convs reg_convs cls_head reg_head head"
    " offset_head scale weight bias"
)
WEIGHTS = {
    "opentad": Weights(
        OPENTAD,
        skip=("rpn_head.loss_normalizer",),
        order=ORDER,
        buffers=lambda net, names: {"rpn_head.loss_normalizer": np.array(NORMALIZER)},
        fix=chain(STEPS, SCALES),
    ),
    "authors": Weights(
        AUTHORS, skip=("point_generator.*",), order=ORDER, fix=chain(STEPS, SCALES, NORMS)
    ),
}
