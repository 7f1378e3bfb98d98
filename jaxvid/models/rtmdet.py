"""RTMDet, a detector of one stage (Lyu et al., 2022), https://arxiv.org/abs/2212.07784.

A pyramid carries features from coarse to fine maps and back. At each position of three maps, the
head gives the score of each class, and the distances to the four sides of the box. All variants
but the smallest share the convolutions of the head among the maps, and normalize each map by
itself. This is for inference: there is no task that trains it.

Shapes: b batch, h height, w width, c channels, k classes.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.errors import UserError
from jaxvid.layers import cspnext
from jaxvid.layers.conv import Conv
from jaxvid.layers.cspnext import CSPLayer, CSPNeXt, conv3
from jaxvid.layers.norm import BatchNorm
from jaxvid.weights.convert import Weights
from jaxvid.weights.names.resnet import BUFFERS

STRIDES = (8, 16, 32)  # of the maps, in pixels
SIZES = {"test": 64, "nano": 320}  # side of the image in pixels; 640 for the others
TINY = tuple((c, 1, own) for c, own in ((8, True), (8, True), (16, True), (16, False)))
HEAD = ("width", "depth", "exponential", "shared")  # options of the head
VARIANTS: dict[str, dict] = {
    "test": dict(stem=8, stages=TINY, separable=True, width=8, depth=1),
    "nano": dict(**cspnext.scaled(0.25, 0.33), separable=True, width=64, depth=1),
    "tiny": dict(**cspnext.scaled(0.375, 0.167), width=96, depth=1, shared=True),
    "s": dict(**cspnext.scaled(0.5, 0.33), width=128, depth=1, shared=True),
    "m": dict(**cspnext.scaled(0.75, 0.67), width=192, depth=2, exponential=True, shared=True),
    "l": dict(**cspnext.scaled(1.0, 1.0), width=256, depth=3, exponential=True, shared=True),
    "x": dict(**cspnext.scaled(1.25, 1.33), width=320, depth=4, exponential=True, shared=True),
}


class Detector(nn.Module):
    """image (b, h, w, 3) -> scores and distances at each position of three maps.

    Returns:
      Logits of the classes (b, h / 8, w / 8, k), h / 16 and h / 32, and then distances in pixels to
      the left, upper, right and lower side of the box, (b, h / 8, w / 8, 4) and so on.
    """

    backbone: CSPNeXt
    head: "Head"

    def __call__(self, image, *, train):
        return self.head(self.backbone(image, train=train), train=train)


class Head(nn.Module):
    """The pyramid and the convolutions that predict boxes.

    Attributes:
      num_classes: Number of classes.
      width: Channels of the maps that boxes are predicted from.
      depth: Number of blocks of a layer of the pyramid.
      separable: Whether 3 x 3 convolutions are depthwise separable.
      exponential: Whether the last convolution gives the logarithm of a distance.
      shared: Whether the three maps share the convolutions before the last one.
      stacked: Number of convolutions before the last one.
    """

    num_classes: int
    width: int
    depth: int
    separable: bool
    exponential: bool = False
    shared: bool = False
    norm: Callable = BatchNorm
    dtype: Any = jnp.float32
    stacked: int = 2

    @nn.compact
    def __call__(self, maps, *, train):
        logits, distances = [], []
        convs = {
            (kind, i): Conv(self.width, (3, 3), dtype=self.dtype, name=f"{kind}_conv{i}")
            for kind in ("cls", "reg")
            for i in range(self.stacked * self.shared)
        }
        for level, x in enumerate(self._pyramid(maps, train)):
            boxes = self._stack("reg", level, x, convs, train)
            classes = self._stack("cls", level, x, convs, train)
            score = Conv(self.num_classes, (1, 1), use_bias=True, name=f"rtm_cls{level}")(classes)
            given = Conv(4, (1, 1), use_bias=True, name=f"rtm_reg{level}")(boxes)
            given = jnp.exp(given) if self.exponential else given
            logits.append(score)
            distances.append(given * STRIDES[level])
        return (*logits, *distances)

    def _stack(self, kind, level, x, convs, train):
        for i in range(self.stacked):
            name = f"{kind}{level}_{i}"
            if self.shared:
                norm = self.norm(dtype=self.dtype, name=f"{name}_bn")
                x = nn.silu(norm(convs[kind, i](x), train=train))
            else:
                x = self._conv3(self.width, name=name)(x, train=train)
        return x

    def _conv3(self, features, strides=(1, 1), *, name):
        return conv3(features, self.separable, strides, norm=self.norm, dtype=self.dtype, name=name)

    def _pyramid(self, maps, train):
        """Return the maps after the way down and up, all of `width` channels."""
        known: dict[str, Any] = dict(norm=self.norm, dtype=self.dtype)
        layer = partial(CSPLayer, depth=self.depth, separable=self.separable, **known)
        reduce = partial(cspnext.ConvNorm, kernel=(1, 1), activation=nn.silu, **known)
        inner = [maps[-1]]
        for i, low in enumerate(maps[-2::-1]):
            inner[0] = reduce(low.shape[-1], name=f"reduce{i}")(inner[0], train=train)
            joined = jnp.concatenate([inner[0].repeat(2, 1).repeat(2, 2), low], -1)
            inner.insert(0, layer(low.shape[-1], name=f"top_down{i}")(joined, train=train))
        outer = [inner[0]]
        for i, high in enumerate(inner[1:]):
            down = self._conv3(outer[-1].shape[-1], (2, 2), name=f"down{i}")(outer[-1], train=train)
            joined = jnp.concatenate([down, high], -1)
            outer.append(layer(maps[i + 1].shape[-1], name=f"bottom_up{i}")(joined, train=train))
        return [
            self._conv3(self.width, name=f"out{i}")(x, train=train) for i, x in enumerate(outer)
        ]


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"image": jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)}


def backbone(variant, *, dtype=jnp.float32, **overrides):
    options = {k: v for k, v in VARIANTS[variant].items() if k not in HEAD}
    return CSPNeXt(**{**options, **overrides}, dtype=dtype)


def build(variant, *, num_classes, dtype=jnp.float32, **overrides):
    """Return the detector; other arguments are those of `CSPNeXt`."""
    body = backbone(variant, dtype=dtype, **overrides)
    options = {k: v for k, v in VARIANTS[variant].items() if k in HEAD}
    kinds: dict[str, Any] = dict(separable=body.separable, norm=body.norm, dtype=dtype)
    return Detector(body, Head(num_classes, **options, **kinds))


# Weights

ORDER = (
    "backbone neck bbox_head stem stage1 stage2 stage3 stage4 reduce_layers top_down_blocks"
    " downsamples bottom_up_blocks out_convs cls_convs reg_convs rtm_cls rtm_reg main_conv"
    " short_conv final_conv conv1 conv2 blocks attention depthwise_conv pointwise_conv conv bn"
    " weight bias running_mean running_var"
)


def openmmlab(net):
    """Return rename rows of MMDetection's files.

    "neck.top_down_blocks.0.main_conv.conv.weight" -> "head/top_down0/main_conv/conv/kernel"
    """
    rows = [*cspnext.names(net.backbone)]
    for theirs, ours in (("top_down_blocks", "top_down"), ("bottom_up_blocks", "bottom_up")):
        rows.append((f"neck.{theirs}.{{i}}", f"head/{ours}{{i}}"))
        rows.append((f"neck.{theirs}.{{i}}.blocks.{{b}}", f"head/{ours}{{i}}/block{{b}}"))
    for theirs, ours in (
        ("reduce_layers", "reduce"),
        ("downsamples", "down"),
        ("out_convs", "out"),
    ):
        rows.append((f"neck.{theirs}.{{i}}", f"head/{ours}{{i}}"))
    for kind in ("cls", "reg"):
        theirs, ours = f"bbox_head.{kind}_convs.{{i}}.{{j}}", f"head/{kind}{{i}}_{{j}}"
        if net.head.shared:
            rows.append((f"bbox_head.{kind}_convs.0.{{j}}.conv", f"head/{kind}_conv{{j}}"))
            rows.append((f"{theirs}.bn", f"{ours}_bn"))
        else:
            rows.append((theirs, ours))
        rows.append((f"bbox_head.rtm_{kind}.{{i}}", f"head/rtm_{kind}{{i}}"))
    return tuple(rows)


COPY = re.compile(r"(bbox_head\.(?:cls|reg)_convs\.)[12](\.\d+\.conv\.)")


def copies(net):
    """Return functions that drop the copies of shared kernels, and that add them.

    MMDetection stores such a kernel for each of the maps.
    """
    return (_drop_copies, _add_copies) if net.head.shared else (dict, dict)


def _drop_copies(tensors: Mapping) -> dict:
    kept = {}
    for name, tensor in tensors.items():
        first = COPY.sub(r"\g<1>0\g<2>", name)
        if first == name or first not in tensors:
            kept[name] = tensor
        elif not np.array_equal(tensor, tensors[first]):
            raise UserError(f"{name} differs from {first}: this variant shares them")
    return kept


def _add_copies(tensors: Mapping) -> dict:
    more = {}
    for name, tensor in tensors.items():
        start, level, rest = name.partition("_convs.0.")
        if level and ".conv." in rest:
            more |= {f"{start}_convs.{i}.{rest}": tensor for i in (1, 2)}
    return {**tensors, **more}


SKIPPED = (*BUFFERS, "data_preprocessor.*")
WEIGHTS = {"mmaction": Weights(openmmlab, SKIPPED, ORDER, fix=copies)}
