"""Temporal Shift Module (Lin et al., 2019), https://arxiv.org/abs/1811.08383.

A 2-D ResNet in which, before each block, an eighth of the channels moves one frame back and another
eighth one frame forth: frames exchange features at no cost.

The network is a ResNet (`variant`), or the backbone of another family (`backbone`) that lets frames
meet inside its blocks: one with the field `mix`, such as MobileNetV2.
"""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Backbone, Count, Natural, Rate
from jaxvid.errors import UserError
from jaxvid.layers import heads, non_local, resnet
from jaxvid.ops.pooling import max_pool
from jaxvid.weights import inflate
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=4),
    "r50": resnet.DEPTHS["r50"],
    "r101": resnet.DEPTHS["r101"],
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 4, 32, 32, 3), jnp.float32)}


class ShiftBlock(non_local.NonLocalBlock):
    """A residual block whose branch sees shifted channels, and whose shortcut does not.

    Attributes:
      shift: Divisor n of the share 1/n of channels that move each way; 0 moves none.
      span: Number of consecutive frames that exchange channels; 0 means all.
    """

    shift: int = 8
    span: int = 0

    def conv(self, i, x, train):
        if i == 0 and self.shift:
            x = shift_channels(x, self.shift, self.span)
        return super().conv(i, x, train)


class TSM(non_local.NonLocalResNet):
    """video (b, t, h, w, c) -> features (b, t', h / 32, w / 32, c').

    Attributes:
      shift, span: See `build`.
      pool_time: (size, stride, padding) of a max-pool over time after the first stage; None turns
        it off. The published value is (3, 2, 1), which halves the number of frames.
    """

    shift: Natural = 8
    span: Natural = 0
    pool_time: tuple[Count, Count, Natural] | None = None

    @nn.nowrap
    def block(self, stage, i, kind=ShiftBlock, **fields):
        shift = self.shift if self.shifted(stage, i) else 0
        return super().block(stage, i, kind, **{"shift": shift, "span": self.span, **fields})

    def enter(self, stage, x):
        if stage != 1 or not self.pool_time:
            return x
        size, stride, pad = self.pool_time
        return max_pool(x, (size, 1, 1), (stride, 1, 1), (pad, 0, 0))

    def shifted(self, stage: int, i: int) -> bool:
        """Return whether block `i` of a stage shifts: deep networks do so in every second block."""
        every = 2 if len(self.depths) > 2 and self.depths[2] >= 23 else 1
        return bool(self.shift) and i % every == 0


def shift_channels(x: jax.Array, share: int, span: int = 0) -> jax.Array:
    """Move 1/`share` of the channels one frame back and as many forth; fill the ends with 0.

    The first channels show the next frame, the second the previous one.

    Args:
      x: (b, t, ..., c).
      share: Divisor of the number of channels.
      span: Divide the frames into runs of this length, each with its own ends. 0 means one run.

    Returns:
      The same shape.

    Raises:
      UserError: the frames cannot be divided so.
    """
    if span:
        if x.shape[1] % span:
            raise UserError(
                f"config.model.span={span} does not divide clips of {x.shape[1]} frames"
            )
        return shift_channels(x.reshape(-1, span, *x.shape[2:]), share).reshape(x.shape)
    fold = x.shape[-1] // share
    pads = [(0, 0)] * x.ndim
    pads[1] = (1, 1)
    ahead, behind, still = jnp.split(x, (fold, 2 * fold), axis=-1)
    moved = jnp.pad(ahead, pads)[:, 2:], jnp.pad(behind, pads)[:, :-2]
    return jnp.concatenate([*moved, still], axis=-1)


@dataclass(frozen=True)
class Shift:
    """`shift_channels` as a function of the input alone, which can be compared with another."""

    share: int
    span: int

    def __call__(self, x: jax.Array) -> jax.Array:
        return shift_channels(x, self.share, self.span)


def backbone(variant, **overrides):
    return TSM(**{**VARIANTS[variant], **overrides})


def build(
    variant="",
    *,
    num_classes,
    backbone: Backbone = None,
    shift: Natural = 8,
    span: Natural = 0,
    dropout: Rate = 0.5,
    dtype=jnp.float32,
    **overrides,
):
    """Return the recognizer; other arguments are those of `TSM`.

    Args:
      backbone: A family that computes the features instead of a ResNet, such as
        dict(name="mobilenetv2", variant="w100"). `variant` and the arguments of `TSM` are left out.
      shift: Before the first convolution of a block, 1/shift of the channels move one frame
        forward, and as many move one frame back. Deep ResNets do this in every second block. 0
        turns it off.
      span: Number of consecutive frames that exchange channels; 0 means the whole clip. The
        published TSM on MobileOne has 8, half of its clip.
      dropout: Share of the features that is dropped before the classifier in training.

    Raises:
      UserError: frames cannot meet inside the blocks of the backbone.
    """
    if not backbone:
        net = TSM(
            **{**VARIANTS[variant], "shift": shift, "span": span, "dtype": dtype, **overrides}
        )
    elif hasattr(backbone, "mix"):
        net = backbone.clone(mix=Shift(shift, span)) if shift else backbone
    else:
        kind = type(backbone).__name__
        raise UserError(
            f"config.model.backbone: {kind} has no place for the shift inside its blocks; use a"
            ' family whose network has the field "mix", such as mobilenetv2'
        )
    head = heads.FrameClassifier(num_classes, dropout, dtype, init_std=0.001)
    return heads.Recognizer(net, head)


def openmmlab(net):
    """Rename rows of MMAction2, where shifts, non-local layers and pooling wrap what they act on.

    "backbone.layer2.net.1.block.conv1.conv.net.weight" -> "backbone/layer2_1/conv1/conv/kernel"
    """
    rows = [*names.OPENMMLAB, ("cls_head.fc_cls", "head/fc")]
    if not isinstance(net.backbone, TSM):  # the table of its family has the rows of the backbone
        return tuple(rows)
    for s, depth in enumerate(net.backbone.depths):
        for b in range(depth):
            wrapped = ".net" if s == 1 and net.backbone.pool_time else ""
            torch, ours = f"backbone.layer{s + 1}{wrapped}.{b}", f"backbone/layer{s + 1}_{b}"
            if net.backbone.has_non_local(s, b):
                rows += names.non_local(torch, ours)
                torch += ".block"
            rows.append((torch, ours))
            if net.backbone.shifted(s, b):
                rows.append((f"{torch}.conv1.conv.net", f"{ours}/conv1/conv"))
    return tuple(rows)


WEIGHTS = {
    "mmaction": Weights(openmmlab, names.BUFFERS, names.ORDER, adapt=inflate.kernels),
    "tsn": names.recognizer(names.OPENMMLAB, "cls_head.fc_cls"),  # a TSN to start from
    "torchvision": names.IMAGES,
}
