"""MobileOne (Vasu et al., 2023), https://arxiv.org/abs/2206.04040.

Depthwise and 1 x 1 convolutions alternate. In training, each has parallel branches, whose sum is
one convolution: `deploy` computes it. The network treats every frame alike.

Shapes: b batch, t frames, h height, w width, c channels.
"""

from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Count, Natural, Positive, Rate
from jaxvid.layers import heads
from jaxvid.layers.conv import Conv, ConvNorm, SqueezeExcite
from jaxvid.layers.norm import BatchNorm, NormalizedNet
from jaxvid.ops import frames
from jaxvid.weights.convert import Weights
from jaxvid.weights.names.resnet import BUFFERS

WIDTHS = (64, 128, 256, 512)  # of the stages, before they are multiplied
VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), widths=(0.125, 0.125), branches=2, gated=(0, 1)),
    "s0": dict(widths=(0.75, 1.0, 1.0, 2.0), branches=4),
    "s1": dict(widths=(1.5, 1.5, 2.0, 2.5)),
    "s2": dict(widths=(1.5, 2.0, 2.5, 4.0)),
    "s3": dict(widths=(2.0, 2.5, 3.0, 4.0)),
    "s4": dict(widths=(3.0, 3.5, 3.5, 4.0), gated=(0, 0, 5, 1)),
}


class MobileOneBlock(nn.Module):
    """A convolution in one of its two forms, and a ReLU: (b, t, h, w, c) -> (b, t, h', w', c').

    Attributes:
      features: Output channels.
      kernel: Sizes of the kernel, over (h, w).
      stride: Stride over both axes.
      groups: Groups of channels.
      branches: Number of equal convolutions in training.
      gated: Scale each channel by a gate (`SqueezeExcite`), frame by frame.
      deploy: Use the form for inference: one convolution.
      norm: Makes the normalization layers.
    """

    features: int
    kernel: tuple[int, int]
    stride: int
    groups: int
    branches: int
    gated: bool
    deploy: bool
    norm: Callable
    dtype: Any

    @nn.compact
    def __call__(self, x, train):
        y = self.one(x) if self.deploy else self.many(x, train)
        if self.gated:
            gate = SqueezeExcite(self.features // 16, self.dtype, name="se")
            y = gate(y.reshape(-1, *y.shape[2:])).reshape(y.shape)
        return nn.relu(y)

    def one(self, x):
        """Return the result of the convolution that `deploy` computes."""
        options: dict[str, Any] = dict(groups=self.groups, use_bias=True, dtype=self.dtype)
        strides = (self.stride, self.stride)
        return Conv(self.features, self.kernel, strides, **options, name="reparam")(x)

    def many(self, x, train):
        """Return the sum of all branches: normalization alone, 1 x 1, and the kernel."""
        strides = (self.stride, self.stride)
        options: dict[str, Any] = dict(relu=False, groups=self.groups, norm=self.norm)
        conv = partial(ConvNorm, self.features, **options, dtype=self.dtype)
        terms = []
        if self.stride == 1 and x.shape[-1] == self.features:
            terms.append(self.norm(dtype=self.dtype, name="norm")(x, train=train))
        if self.kernel != (1, 1):
            terms.append(conv((1, 1), strides, name="scale")(x, train=train))
        for i in range(self.branches):
            terms.append(conv(self.kernel, strides, name=f"conv{i}")(x, train=train))
        return reduce(jnp.add, terms)


class MobileOne(NormalizedNet):
    """video (b, t, h, w, c) -> features (b, t, h / 32, w / 32, c').

    Attributes:
      depths: Pairs of convolutions in each stage.
      widths: Factors of the channels of each stage.
      branches: Number of equal convolutions of each block in training.
      gated: For each stage, the number of pairs at its end whose channels are scaled by gates.
      deploy: Use the form for inference, in which the branches of each block are one convolution.
        `jaxvid.load(..., deploy=True)` converts trained weights to it.
      mix: Function of the input of each block, of the same shape, that lets frames meet.
    """

    depths: tuple[Count, ...] = (2, 8, 10, 1)
    widths: tuple[Positive, ...] = (1.0, 1.0, 1.0, 1.0)
    branches: Count = 1
    gated: tuple[Natural, ...] = (0, 0, 0, 0)
    deploy: bool = False
    mix: Callable = frames.unmixed

    @nn.compact
    def __call__(self, video, *, train):
        kind = nn.remat(MobileOneBlock, static_argnums=(2,)) if self.remat else MobileOneBlock
        form = dict(deploy=self.deploy, norm=self.norm, dtype=self.dtype)
        block = partial(kind, branches=self.branches, **form)
        first = min(64, int(WIDTHS[0] * self.widths[0]))
        options: dict[str, Any] = dict(stride=2, groups=1, gated=False, name="stage0")
        x = block(first, (3, 3), **options)(self.mix(video), train)
        for s, depth in enumerate(self.depths):
            width = int(WIDTHS[s] * self.widths[s])
            for i in range(depth):
                c, stride, gated = x.shape[-1], 1 if i else 2, i >= depth - self.gated[s]
                pair = (c, (3, 3), stride, c), (width, (1, 1), 1, 1)  # depthwise, then dense
                for j, (features, kernel, step, groups) in enumerate(pair):
                    name = f"stage{s + 1}_{2 * i + j}"
                    options = dict(stride=step, groups=groups, gated=gated, name=name)
                    x = block(features, kernel, **options)(self.mix(x), train)
        return x

    @property
    def stride(self) -> int:
        """Pixels of a frame from one feature to the next."""
        return 2 * 2 ** len(self.depths)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 3, 32, 32, 3), jnp.float32)}


def backbone(variant, **overrides):
    return MobileOne(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.0, dtype=jnp.float32, **overrides):
    """Return a classifier of the mean over frames; other arguments are those of `MobileOne`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# The form for inference


def deploy(variables: Mapping) -> dict:
    """Return the variables of the same model with `deploy=True`.

    In evaluation, each branch of a block is linear, so their sum is one convolution with a bias. It
    is computed in float64, and there are no running statistics any more.

    Args:
      variables: {"params": ..., "batch_stats": ...} of a model with `deploy=False`.
    """
    return {"params": _merged(variables["params"], variables["batch_stats"])}


def _merged(params: Mapping, stats: Mapping) -> dict:
    """Return parameters in which the branches of each block are one convolution."""
    if "conv0" in params:  # a block
        rest = {name: params[name] for name in params if name == "se"}
        return {"reparam": _sum_of_branches(params, stats), **rest}
    return {
        name: _merged(value, stats.get(name, {})) if isinstance(value, Mapping) else value
        for name, value in params.items()
    }


def _sum_of_branches(params: Mapping, stats: Mapping) -> dict:
    *size, inputs, outputs = np.shape(params["conv0"]["conv"]["kernel"])
    middle = [n // 2 for n in size]
    identity = np.zeros((*size, inputs, outputs))
    identity[*middle, np.arange(outputs) % inputs, np.arange(outputs)] = 1
    kernel, bias = np.zeros_like(identity), np.zeros(outputs)
    for name in params.keys() - {"se"}:
        if name == "norm":
            term, norm, running = identity, params[name], stats[name]
        else:
            term, norm = np.float64(params[name]["conv"]["kernel"]), params[name]["bn"]
            running = stats[name]["bn"]
            around = [((n - k) // 2, (n - k) // 2) for n, k in zip(size, term.shape, strict=False)]
            term = np.pad(term, [*around, (0, 0), (0, 0)])
        mean, var, scale, shift = map(
            np.float64, (running["mean"], running["var"], norm["scale"], norm["bias"])
        )
        factor = scale / np.sqrt(var + BatchNorm.epsilon)
        kernel, bias = kernel + term * factor, bias + shift - mean * factor
    return {"kernel": np.float32(kernel), "bias": np.float32(bias)}


# Weights

ORDER = (
    "backbone cls_head head stage0 stage1 stage2 stage3 stage4 net se branch_norm branch_scale"
    " branch_conv_list branch_reparam conv1 conv2 conv norm fc_cls fc weight bias running_mean"
    " running_var"
)
# "backbone.stage1.2.branch_conv_list.0.norm.bias" -> "backbone/stage1_2/conv0/bn/bias"
PARTS = (
    ("branch_norm", "norm"),
    ("branch_scale.conv", "scale/conv"),
    ("branch_scale.norm", "scale/bn"),
    ("branch_conv_list.{i}.conv", "conv{i}/conv"),
    ("branch_conv_list.{i}.norm", "conv{i}/bn"),
    ("branch_reparam", "reparam"),
    ("se.conv1.conv", "se/fc1"),
    ("se.conv2.conv", "se/fc2"),
)


def openmmlab(net, head="cls_head.fc_cls", wrapped=True):
    """Rename rows of MMAction2, where a shift wraps the block that it precedes: "stage1.2.net"."""
    inside = ".net" if wrapped and net.backbone.mix is not frames.unmixed else ""
    places = (
        ("backbone.stage0", "backbone/stage0"),
        ("backbone.stage{s}.{b}", "backbone/stage{s}_{b}"),
    )
    rows = [
        (f"{torch}{inside}.{part}", f"{ours}/{path}")
        for torch, ours in places
        for part, path in PARTS
    ]
    return (*rows, (head, "head/fc"))


WEIGHTS = {
    "mmaction": Weights(openmmlab, BUFFERS, ORDER),
    "mmpretrain": Weights(partial(openmmlab, head="head.fc", wrapped=False), BUFFERS, ORDER),
}
