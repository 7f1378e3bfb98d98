"""SlowFast (Feichtenhofer et al., 2019), https://arxiv.org/abs/1812.03982.

Two 3-D ResNets see the same clip: the slow one few frames with many channels, the fast one all
frames with few channels. After the stem and each stage but the last, a lateral connection adds
features of the fast one to those of the slow one.

Shapes: b batch, t frames of the slow pathway, T of the fast one, h height, w width, c channels.
"""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Rate
from jaxvid.layers import heads, resnet
from jaxvid.layers.conv import Conv, ConvNorm
from jaxvid.layers.norm import BatchNorm
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 1), fast_depths=(1, 1), width=16, alpha=2),
    "r50": dict(depths=(3, 4, 6, 3), fast_depths=(3, 4, 6, 3)),
    "r101": dict(depths=(3, 4, 23, 3), fast_depths=(3, 4, 23, 3)),
    "r101-r50": dict(depths=(3, 4, 23, 3), fast_depths=(3, 4, 6, 3)),
}


class SlowFast(nn.Module):
    """video (b, T, H, W, c) -> features (b, t, h, w, c), (b, T, h, w, c / beta) of slow and fast.

    Attributes:
      depths: Blocks in each stage of the slow pathway.
      fast_depths: Blocks in each stage of the fast pathway.
      width: Channels of the first convolution of the slow pathway.
      alpha: Number of frames of the fast pathway divided by that of the slow pathway: 8 if the slow
        pathway uses 4 frames at stride 16, and 4 if it uses 8 frames at stride 8.
      beta: The fast pathway has 1/beta of the channels of the slow pathway.
      fusion: Kernel size of the lateral convolutions in frames. The published models use 5 with
        alpha 8, and 7 with alpha 4.
      lateral_norm: Normalize after the lateral convolutions, and apply a ReLU.
      strides: Spatial stride of each stage.
      zero_init: Initialize the scale of the last normalization of each residual branch with 0.
      bn_groups: Number of equal groups of consecutive samples that a batch is divided into. Each
        group is normalized with its own statistics, as on that number of GPUs without SyncBN.
      bn_frozen: Normalize with the running statistics in training, too, and do not update them.
      remat: Recompute the blocks in the backward pass instead of storing their activations. This
        saves memory and makes training slower.
      levels: Number of last stages whose features are returned, as a tuple if there are several. A
        head that needs them sets it.
    """

    depths: tuple[Count, ...]
    fast_depths: tuple[Count, ...]
    width: Count = 64
    alpha: Count = 8
    beta: Count = 8
    fusion: Count = 5
    lateral_norm: bool = False
    strides: tuple[Count, ...] = (1, 2, 2, 2)
    zero_init: bool = True
    bn_groups: Count = 1
    bn_frozen: bool = False
    remat: bool = False
    dtype: Any = jnp.float32
    levels: Any = 1

    @property
    def stride(self) -> int:
        """Pixels of a frame from one feature to the next."""
        return 4 * math.prod(self.strides[: len(self.depths)])

    @nn.compact
    def __call__(self, video, *, train):
        pathway = partial(
            resnet.ResNet,
            strides=self.strides,
            zero_init=self.zero_init,
            bn_groups=self.bn_groups,
            bn_frozen=self.bn_frozen,
            remat=self.remat,
            dtype=self.dtype,
        )
        stages = len(self.depths)
        slow_path = pathway(
            self.depths,
            width=self.width,
            stem=(1, 7, 7),
            time=(1, 1, 3, 3)[-stages:],
            name="slow_path",
        )
        fast_path = pathway(
            self.fast_depths,
            width=self.width // self.beta,
            stem=(5, 7, 7),
            time=(3,) * stages,
            name="fast_path",
        )
        slow, fast = slow_path.first(video[:, :: self.alpha], train), fast_path.first(video, train)
        found = []
        for s in range(stages):
            lateral = self._lateral(fast, f"{f'layer{s}' if s else 'conv1'}_lateral", train)
            slow = slow_path.stage(s, jnp.concatenate([slow, lateral], -1), train)
            fast = fast_path.stage(s, fast, train)
            found.append((slow, fast))
        return found[-1] if self.levels == 1 else tuple(found[-self.levels :])

    def _lateral(self, fast, name, train):  # (b, T, h, w, c) -> (b, t, h, w, 2c)
        shape = 2 * fast.shape[-1], (self.fusion, 1, 1), (self.alpha, 1, 1)
        if not self.lateral_norm:
            return Conv(*shape, dtype=self.dtype, name=name)(fast)
        norm = partial(BatchNorm, groups=self.bn_groups, frozen=self.bn_frozen)
        return ConvNorm(*shape, norm=norm, dtype=self.dtype, name=name)(fast, train=train)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 16, 32, 32, 3), jnp.float32)}


def backbone(variant, **overrides):
    return SlowFast(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `SlowFast`.

    Args:
      dropout: Share of the features that is dropped before the classifier in training.
    """
    head = heads.PoolClassifier(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# Weights


def openmmlab(net):
    """Rename rows of MMAction2, where lateral connections belong to the slow pathway.

    "backbone.slow_path.layer1_lateral.conv.weight" -> "backbone/layer1_lateral/kernel"
    """
    rows = [("backbone", "backbone"), ("cls_head.fc_cls", "head/fc")]
    for path in ("slow_path", "fast_path"):
        rows.append((f"backbone.{path}.layer{{s}}.{{b}}", f"backbone/{path}/layer{{s}}_{{b}}"))
    for s in range(len(net.backbone.depths)):
        lateral = f"{f'layer{s}' if s else 'conv1'}_lateral"
        torch, ours = f"backbone.slow_path.{lateral}", f"backbone/{lateral}"
        rows.append((torch, ours) if net.backbone.lateral_norm else (f"{torch}.conv", ours))
    return tuple(rows)


WEIGHTS = {"mmaction": Weights(openmmlab, names.BUFFERS, names.ORDER)}
