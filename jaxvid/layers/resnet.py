"""Residual networks (He et al., 2015) for frames and for clips.

One module serves 2-D recognisers, whose kernels span (height, width) and which treat every frame
alike, and 3-D ones, whose kernels also span time (Feichtenhofer et al., 2019).

Shapes: b batch, t frames, h height, w width, c channels.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from jaxvid.config.values import Count, Natural
from jaxvid.layers.conv import ConvNorm
from jaxvid.layers.non_local import NonLocal
from jaxvid.layers.norm import BatchNorm

DEPTHS = {
    "r18": dict(depths=(2, 2, 2, 2), bottleneck=False),
    "r34": dict(depths=(3, 4, 6, 3), bottleneck=False),
    "r50": dict(depths=(3, 4, 6, 3)),
    "r101": dict(depths=(3, 4, 23, 3)),
    "r152": dict(depths=(3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """video (b, t, h, w, c) -> features (b, t', h / 32, w / 32, c').

    Attributes:
      depths: Blocks in each stage.
      bottleneck: Make blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions; without it, of two 3 x 3.
      width: Channels of the first convolution; each stage doubles them.
      stem: Kernel of the first convolution, over (h, w) or (t, h, w), which makes the network 2-D
        or 3-D.
      time: Temporal kernel of the first convolution of each stage's blocks, in 3-D networks.
      strides: Spatial stride of each stage.
      shift: Divisor n of the share 1/n of channels that move one frame each way before every
        block's first convolution (Lin et al., 2019, TSM); 0 turns it off.
      pool_time: (size, stride, padding) of a max-pool over time after the first stage; None has
        none. TSM's published option is (3, 2, 1).
      non_local: Kind of the non-local blocks (Wang et al., 2018); "" has none.
      non_local_scale: Divide the products of "embedded_gaussian" by the root of their width.
      non_local_blocks: For each stage, the blocks that a non-local block follows.
      zero_init: Start the last normalisation of a residual branch at 0.
      bn_groups: Parts of consecutive rows of a batch that are normalised by their own statistics,
        as on that number of GPUs without SyncBN.
      bn_frozen: Normalise by the running statistics in training, too, and keep them.
      remat: Recompute the blocks in the backward pass instead of storing their activations, which
        saves memory and costs time.
    """

    depths: tuple[Count, ...]
    bottleneck: bool = True
    width: Count = 64
    stem: tuple[Count, ...] = (7, 7)
    time: tuple[Count, ...] = (1, 1, 1, 1)
    strides: tuple[Count, ...] = (1, 2, 2, 2)
    shift: Natural = 0
    pool_time: tuple[Count, Count, Natural] | None = None
    non_local: Literal["", "embedded_gaussian", "gaussian", "dot_product"] = ""
    non_local_scale: bool = False
    non_local_blocks: tuple[tuple[Natural, ...], ...] = ((), (0, 2), (0, 2, 4), ())
    zero_init: bool = False
    bn_groups: Count = 1
    bn_frozen: bool = False
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self):
        spatial = len(self.stem) == 2
        norm = partial(BatchNorm, groups=self.bn_groups, frozen=self.bn_frozen)
        strides = (2, 2) if spatial else (1, 2, 2)
        self.conv1 = ConvNorm(self.width, self.stem, strides, norm=norm, dtype=self.dtype)
        non_local = partial(
            NonLocal, self.non_local, self.non_local_scale, norm, self.dtype, name="non_local"
        )
        kind = Bottleneck if self.bottleneck else Basic
        block = nn.remat(kind, static_argnums=(2,)) if self.remat else kind
        for s, depth in enumerate(self.depths):
            blocks = [
                block(
                    features=self.width * 2**s,
                    time=0 if spatial else self.time[s],
                    stride=1 if b else self.strides[s],
                    shift=self.shift if self.shifted(s, b) else 0,
                    non_local=non_local if self.gathers(s, b) else None,
                    zero_init=self.zero_init,
                    norm=norm,
                    dtype=self.dtype,
                )
                for b in range(depth)
            ]
            setattr(self, f"layer{s + 1}", blocks)

    def __call__(self, video, *, train):
        x = self.first(video, train)
        for s in range(len(self.depths)):
            x = self.stage(s, x, train)
        return x

    def first(self, video, train):
        """The stem: (b, t, h, w, c) -> (b, t, h / 4, w / 4, width)."""
        x = self.conv1(video, train=train)
        pads: Any = ((0, 0), (1, 1), (1, 1))  # Flax's annotation says str
        return nn.max_pool(x, (1, 3, 3), (1, 2, 2), pads)

    def stage(self, s, x, train):
        """Stage `s`, from 0."""
        if s == 1 and self.pool_time:
            size, stride, pad = self.pool_time
            pads: Any = ((pad, pad), (0, 0), (0, 0))
            x = nn.max_pool(x, (size, 1, 1), (stride, 1, 1), pads)
        for block in getattr(self, f"layer{s + 1}"):
            x = block(x, train)
        return x

    def gathers(self, s, b) -> bool:
        """Whether a non-local block follows block `b` of stage `s`."""
        return bool(self.non_local) and b in self.non_local_blocks[s]

    def shifted(self, s, b) -> bool:
        """Whether block `b` of stage `s` shifts: deep networks do so in every second block."""
        every = 2 if len(self.depths) > 2 and self.depths[2] >= 23 else 1
        return bool(self.shift) and b % every == 0


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 to four times `features`, and a shortcut; a non-local block after it.

    Attributes:
      time: frames that the first kernel spans; 0 in a 2-D network.
      stride: of the 3 x 3 convolution.
    """

    features: int
    time: int
    stride: int
    shift: int
    non_local: Callable | None
    zero_init: bool
    norm: Callable
    dtype: Any

    expansion = 4

    @nn.compact
    def __call__(self, x, train):
        wide, strides = self.expansion * self.features, self._lift(self.stride, self.stride)
        y = shift_channels(x, self.shift) if self.shift else x
        y = self._conv(self.features, self._lift(1, 1, self.time), name="conv1")(y, train=train)
        y = self._conv(self.features, self._lift(3, 3), strides, name="conv2")(y, train=train)
        y = self._last(wide, self._lift(1, 1), name="conv3")(y, train=train)
        return self._join(x, y, wide, strides, train)

    def _join(self, x, y, wide, strides, train):
        if x.shape[-1] != wide or self.stride != 1:
            shortcut = self._conv(wide, self._lift(1, 1), strides, relu=False, name="downsample")
            x = shortcut(x, train=train)
        x = nn.relu(x + y)
        return self.non_local()(x, train=train) if self.non_local else x

    def _conv(self, features, kernel, strides=(), **options):
        return ConvNorm(features, kernel, strides, norm=self.norm, dtype=self.dtype, **options)

    def _last(self, features, kernel, name):
        init = nn.initializers.zeros if self.zero_init else nn.initializers.ones
        norm = partial(self.norm, scale_init=init)
        return ConvNorm(features, kernel, (), relu=False, norm=norm, dtype=self.dtype, name=name)

    def _lift(self, h, w, t=1):
        return (t, h, w) if self.time else (h, w)


class Basic(Bottleneck):
    """Two 3 x 3 convolutions and a shortcut."""

    expansion = 1

    @nn.compact
    def __call__(self, x, train):
        strides = self._lift(self.stride, self.stride)
        y = shift_channels(x, self.shift) if self.shift else x
        first = self._conv(self.features, self._lift(3, 3, self.time), strides, name="conv1")
        last = self._last(self.features, self._lift(3, 3), name="conv2")
        y = last(first(y, train=train), train=train)
        return self._join(x, y, self.features, strides, train)


def shift_channels(x, share):
    """Move 1/`share` of the channels one frame back and as many forth; the ends are filled with 0.

    The first channels show the next frame, the second the previous one (Lin et al., 2019).

    Args:
      x: (b, t, ..., c).
    """
    fold = x.shape[-1] // share
    pads = [(0, 0)] * x.ndim
    pads[1] = (1, 1)
    ahead, behind, still = jnp.split(x, (fold, 2 * fold), axis=-1)
    return jnp.concatenate(
        [jnp.pad(ahead, pads)[:, 2:], jnp.pad(behind, pads)[:, :-2], still], axis=-1
    )


# How upstreams name the parts of a ResNet at backbone/

BUFFERS = (".*num_batches_tracked",)
ORDER = (
    "backbone cls_head slow_path fast_path conv1 bn1 conv2 bn2 conv3 bn3 downsample layer1 layer2"
    " layer3 layer4 conv1_lateral layer1_lateral layer2_lateral layer3_lateral fc block"
    " non_local_block g conv_out theta phi conv bn weight bias running_mean running_var"
)
TORCHVISION = (
    ("conv1", "backbone/conv1/conv"),
    ("bn1", "backbone/conv1/bn"),
    ("layer{s}.{b}.conv{i}", "backbone/layer{s}_{b}/conv{i}/conv"),
    ("layer{s}.{b}.bn{i}", "backbone/layer{s}_{b}/conv{i}/bn"),
    ("layer{s}.{b}.downsample.0", "backbone/layer{s}_{b}/downsample/conv"),
    ("layer{s}.{b}.downsample.1", "backbone/layer{s}_{b}/downsample/bn"),
)
# MMAction2
OPENMMLAB = (("backbone", "backbone"), ("backbone.layer{s}.{b}", "backbone/layer{s}_{b}"))


def non_local(torch, ours):
    """Rows of the non-local block after a block of these names."""
    names = {"g.0.conv": "g", "theta.conv": "theta", "phi.0.conv": "phi", "conv_out": "conv_out"}
    return tuple(
        (f"{torch}.non_local_block.{theirs}", f"{ours}/non_local/{name}")
        for theirs, name in names.items()
    )
