"""ACRN, the actor-centric relation network (Sun et al., 2018): people, and what is around them.

https://arxiv.org/abs/1807.10982. A Fast R-CNN on clips in which each box meets every position of
the frame: the features of the box stand beside those of the position, and convolutions combine
the two. The box is classified by what comes out, at its strongest over the frame.

Shapes: b batch, t frames, n boxes, h height, w width, c channels, p q bins of a box.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Backbone, Count, Rate
from jaxvid.layers.conv import Conv, he_normal
from jaxvid.layers.norm import BatchNorm
from jaxvid.models import fast_rcnn
from jaxvid.weights.convert import Weights

# A detector has no sizes of its own. This spec is for tests.
VARIANTS: dict[str, dict] = {"test": dict(backbone=dict(name="slowonly", variant="test"))}


class PairConv(nn.Module):
    """A 1x1 convolution of boxes (b, n, c) beside all positions (b, h, w, c): (b, n, h, w, c).

    A product with joined features is the sum of two products. So boxes and positions are multiplied
    once each, instead of every pair of them.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, boxes, maps):
        width = maps.shape[-1]
        kernel = self.param("kernel", he_normal, (1, 1, 1, boxes.shape[-1] + width, width))
        of_box, of_map = jnp.split(kernel[0, 0, 0].astype(self.dtype), [boxes.shape[-1]])
        return (boxes @ of_box)[:, :, None, None] + (maps @ of_map)[:, None]


class Combine(nn.Module):
    """Convolutions of the maps of all boxes (b, n, h, w, c) -> the same.

    Attributes:
      depth: Number of 3x3 convolutions.
    """

    depth: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, mask, *, train):
        x = nn.relu(BatchNorm(dtype=self.dtype, name="bn1")(x, train=train, mask=mask))
        for i in range(2, self.depth + 2):
            x = Conv(x.shape[-1], (1, 3, 3), dtype=self.dtype, name=f"conv{i}")(x)
            x = nn.relu(BatchNorm(dtype=self.dtype, name=f"bn{i}")(x, train=train, mask=mask))
        return x


class Relation(nn.Module):
    """Boxes (b, n, p, q, c) and maps (b, h, w, c) -> maps of all boxes (b, n, h, w, c).

    Boxes that are not `valid` (b, n) are padding. They have no part in batch normalization, and in
    evaluation, maps of padding are zeros.

    Attributes:
      depth: Number of 3x3 convolutions.
    """

    depth: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, rois, maps, valid, bank, *, train):
        boxes, maps = rois.max((2, 3)).astype(self.dtype), maps.astype(self.dtype)
        pairs = PairConv(self.dtype, name="conv1")(boxes, maps)
        combine = Combine(self.depth, self.dtype, name="combine")
        if valid is None:
            return combine(pairs, None, train=train)
        if train or self.is_initializing():
            return combine(pairs, valid[:, :, None, None], train=train)
        # Most boxes are padding, so a box is computed only if it is real in one of the samples.
        options: Any = dict(variable_broadcast=("params", "batch_stats"), in_axes=1, out_axes=1)
        return nn.scan(only_real, **options)(combine, (), (pairs, valid))[1]


def only_real(combine, carry, box):
    """Apply a module in evaluation to the maps of one box (b, h, w, c), or return zeros."""
    pairs, valid = box

    def compute(module, x):
        return module(x[:, None], None, train=False)[:, 0]

    return carry, nn.cond(valid.any(), compute, lambda _, x: jnp.zeros_like(x), combine, pairs)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, with five boxes in each."""
    return fast_rcnn.example(variant) | {"valid": jax.ShapeDtypeStruct((2, 5), jnp.bool_)}


def build(
    *,
    backbone: Backbone,
    num_classes,
    background: bool = False,
    depth: Count = 1,
    dropout: Rate = 0.5,
    dtype=jnp.float32,
):
    """Return the detector.

    Args:
      backbone: The family that computes the features, see `fast_rcnn.build`.
      background: Add an output for "no class" at the start of the linear layer, because published
        weights have it. It is not used and not trained.
      depth: Number of 3x3 convolutions after the 1x1 convolution.
      dropout: Dropout rate before the maximum over the frame, in training.

    Raises:
      UserError: the backbone gives no map of the frame.
    """
    options = background, "avg", False, False, dropout, dtype
    return fast_rcnn.detector(backbone, num_classes, *options, relation=Relation(depth, dtype))


# Weights


def openmmlab(net):
    """Return the rename rows of the head.

    "roi_head.shared_head.conv2.conv.weight" -> "head/relation/combine/conv2/kernel"
    """
    rows = list(fast_rcnn.openmmlab(net))
    names = ["conv1", "conv2", *(f"convs.{i}" for i in range(net.head.relation.depth - 1))]
    for i, name in enumerate(names, 1):
        place = "head/relation" if i == 1 else "head/relation/combine"
        rows += [(f"roi_head.shared_head.{name}.conv", f"{place}/conv{i}")]
        rows += [(f"roi_head.shared_head.{name}.bn", f"head/relation/combine/bn{i}")]
    return tuple(rows)


WEIGHTS = {"mmaction": Weights(openmmlab)}
