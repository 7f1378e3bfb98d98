"""Channel-separated networks, CSN (Tran et al., 2019), https://arxiv.org/abs/1904.02811.

A 3-D ResNet whose 3 x 3 x 3 convolutions are depthwise: channels meet in convolutions of one
position alone. The interaction-preserved kind, ip, adds one of these before each depthwise
convolution; the interaction-reduced kind, ir, does not.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Rate
from jaxvid.layers import heads, resnet
from jaxvid.layers.conv import ConvNorm
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=4, kind="ip"),
    **{
        f"{kind}{depth[1:]}": dict(resnet.DEPTHS[depth], kind=kind)
        for kind in ("ip", "ir")
        for depth in ("r50", "r101", "r152")
    },
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 4, 32, 32, 3), jnp.float32)}


class SeparatedBlock(resnet.Block):
    """A bottleneck block whose second convolution is depthwise.

    Attributes:
      interacts: Let the channels meet before the depthwise convolution, in "conv2_pointwise".
    """

    interacts: bool = False

    def conv(self, i, x, train):
        if i != 1:
            return super().conv(i, x, train)
        width = self.features[i]
        options: dict[str, Any] = dict(norm=self.norm, dtype=self.dtype)
        if self.interacts:
            pointwise = ConvNorm(width, (1, 1, 1), relu=False, **options, name="conv2_pointwise")
            x = pointwise(x, train=train)
        options |= dict(groups=width, name="conv2")
        return ConvNorm(width, self.kernels[i], self.strides, **options)(x, train=train)


class CSN(resnet.R3D):
    """video (b, t, h, w, c) -> features (b, t / 8, h / 32, w / 32, c').

    Attributes:
      kind: "ip" keeps the interaction of channels where a convolution becomes depthwise, by a
        convolution of one position before it. "ir" leaves it out.
    """

    kind: Literal["ip", "ir"] = "ir"

    @nn.nowrap
    def block(self, stage, i, kind=SeparatedBlock, **fields):
        return super().block(stage, i, kind, **{"interacts": self.kind == "ip", **fields})


def backbone(variant, **overrides):
    return CSN(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `CSN`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


def openmmlab(net):
    """Rename rows of MMAction2, where conv2 is a list of one or two convolutions.

    "backbone.layer1.0.conv2.0.conv.weight" -> "backbone/layer1_0/conv2/conv/kernel"
    """
    units = ("conv2_pointwise", "conv2") if net.backbone.kind == "ip" else ("conv2",)
    torch, ours = "backbone.layer{s}.{b}", "backbone/layer{s}_{b}"
    listed = tuple((f"{torch}.conv2.{n}", f"{ours}/{unit}") for n, unit in enumerate(units))
    return (*names.OPENMMLAB, *listed, ("cls_head.fc_cls", "head/fc"))


WEIGHTS = {"mmaction": Weights(openmmlab, names.BUFFERS, names.ORDER)}
