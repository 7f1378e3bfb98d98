"""RGBPose-Conv3D (Duan et al., 2022), https://arxiv.org/abs/2104.13586.

Two 3-D ResNets see a clip: one its frames, the other the heat maps of its key points, with more
frames and fewer channels. Before the third stage of the RGB pathway and before its fourth, lateral
connections in both directions add the features of each pathway to those of the other. Each pathway
has a classifier of its own.

Shapes: b batch, t frames of the video, T of the heat maps, h height, w width, j joints, c channels.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Rate
from jaxvid.layers import heads, resnet
from jaxvid.layers.conv import Conv, he_normal
from jaxvid.layers.norm import NormalizedNet
from jaxvid.models import posec3d
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 1, 1, 1), pose_depths=(1, 1, 1), width=4, pose_width=2, speed=2),
    "r50": dict(),
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    speed = 2 if variant == "test" else 4
    return {
        "video": jax.ShapeDtypeStruct((2, 2, 32, 32, 3), jnp.float32),
        "heatmap": jax.ShapeDtypeStruct((2, 2 * speed, 8, 8, 17), jnp.float32),
    }


class SpreadOverTime(nn.Module):
    """A transposed convolution over time, with normalization and a ReLU.

    Attributes:
      features: Channels of the result.
      frames: Size of the kernel, which is odd.
      speed: Frames of the result for each frame of the input.
      norm: Makes the normalization layer.
    """

    features: int
    frames: int
    speed: int
    norm: Any
    dtype: Any

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, h, w, c) -> (b, t speed, h, w, features)
        # It is stored as the kernel of the convolution that it is the transpose of.
        shape = (self.frames, 1, 1, self.features, x.shape[-1])
        kernel = self.param("kernel", he_normal, shape).astype(self.dtype)
        before = self.frames // 2
        padding = ((before, before + self.speed - 1), (0, 0), (0, 0))
        x = jax.lax.conv_transpose(
            x.astype(self.dtype),
            kernel,
            (self.speed, 1, 1),
            padding,
            dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
            transpose_kernel=True,
        )
        return nn.relu(self.norm(dtype=self.dtype, name="bn")(x, train=train))


class RGBPoseConv3D(NormalizedNet):
    """video (b, t, h, w, c), heatmap (b, T, h / 4, w / 4, j) -> features of both pathways.

    They are (b, t, h / 32, w / 32, c) of the video and (b, T, h / 32, w / 32, c') of the heat maps.

    Attributes:
      depths: Blocks in each stage of the RGB pathway.
      pose_depths: Blocks in each stage of the pose pathway.
      width: Channels of the first convolution of the RGB pathway.
      pose_width: Channels of the first convolution of the pose pathway.
      speed: Number of frames of the heat maps divided by that of the video.
      fusion: Kernel size of the lateral connections in frames.
      rgb_detach: Stop gradients from the RGB pathway into the pose pathway.
      pose_detach: Stop gradients from the pose pathway into the RGB pathway.
      rgb_drop_path: Probability that the RGB pathway gets zeros from the pose pathway in a training
        step.
      pose_drop_path: Probability that the pose pathway gets zeros from the RGB pathway in a
        training step.
      zero_init: Initialize the scale of the last normalization of each residual branch with 0.
    """

    depths: tuple[Count, Count, Count, Count] = (3, 4, 6, 3)
    pose_depths: tuple[Count, Count, Count] = (4, 6, 3)
    width: Count = 64
    pose_width: Count = 32
    speed: Count = 4
    fusion: Count = 7
    rgb_detach: bool = False
    pose_detach: bool = False
    rgb_drop_path: Rate = 0.0
    pose_drop_path: Rate = 0.0
    zero_init: bool = True

    @nn.compact
    def __call__(self, video, heatmap, *, train):
        shared: dict[str, Any] = {
            key: getattr(self, key)
            for key in ("zero_init", "bn_groups", "bn_frozen", "remat", "dtype")
        }
        options = dict(stem=(1, 7, 7), time=(1, 1, 3, 3), name="rgb_path")
        rgb_path = resnet.ResNet(self.depths, width=self.width, **options, **shared)
        options = dict(time_strides=(1, 1, 1), name="pose_path")
        pose_path = posec3d.PoseSlowOnly(
            self.pose_depths, width=self.pose_width, **options, **shared
        )
        rgb, pose = rgb_path.first(video, train), pose_path.first(heatmap, train)
        rgb = rgb_path.stage(0, rgb, train)
        for s in range(3):
            rgb, pose = rgb_path.stage(s + 1, rgb, train), pose_path.stage(s, pose, train)
            if s < 2:
                rgb, pose = self._exchange(s, rgb, pose, train)
        return rgb, pose

    def _exchange(self, s, rgb, pose, train):
        """Add features of each pathway to those of the other, after stage `s` of the pose."""
        to_rgb = jax.lax.stop_gradient(pose) if self.rgb_detach else pose
        to_pose = jax.lax.stop_gradient(rgb) if self.pose_detach else rgb
        kernel, strides = (self.fusion, 1, 1), (self.speed, 1, 1)
        name = f"rgb_layer{s + 2}_lateral"
        to_rgb = Conv(pose.shape[-1], kernel, strides, dtype=self.dtype, name=name)(to_rgb)
        spread = partial(SpreadOverTime, norm=self.norm, dtype=self.dtype)
        features = rgb.shape[-1] // 16
        name = f"pose_layer{s + 1}_lateral"
        to_pose = spread(features, self.fusion, self.speed, name=name)(to_pose, train=train)
        to_rgb = self._dropped(to_rgb, self.rgb_drop_path, train)
        to_pose = self._dropped(to_pose, self.pose_drop_path, train)
        return jnp.concatenate([rgb, to_rgb], -1), jnp.concatenate([pose, to_pose], -1)

    def _dropped(self, x, rate, train):
        """Return zeros for the whole batch with the probability `rate` in training."""
        if not (train and rate):
            return x
        return x * jax.random.bernoulli(self.make_rng("dropout"), 1 - rate).astype(x.dtype)


class Heads(nn.Module):
    """Features of both pathways -> logits of the video and of the pose, each (b, classes)."""

    num_classes: int
    dropout: float
    dtype: Any
    init_std: float = 0.01

    @nn.compact
    def __call__(self, features, *, train):
        head = partial(heads.PoolClassifier, self.num_classes, self.dropout, self.dtype)
        pathways = zip(("rgb", "pose"), features, strict=True)
        return tuple(head(self.init_std, name=name)(x, train=train) for name, x in pathways)


def backbone(variant, **overrides):
    return RGBPoseConv3D(**{**VARIANTS[variant], **overrides})


def build(variant, *, num_classes, dropout: Rate = 0.5, dtype=jnp.float32, **overrides):
    """Return the recognizer; other arguments are those of `RGBPoseConv3D`.

    Args:
      dropout: Share of the features that is dropped before each classifier in training.
    """
    head = Heads(num_classes, dropout, dtype)
    return heads.Recognizer(backbone(variant, dtype=dtype, **overrides), head)


# "backbone.pose_path.layer1_lateral.conv.weight" -> "backbone/pose_layer1_lateral/kernel"
ROWS = (
    *(
        (f"backbone.{path}_path.{torch}", f"backbone/{path}_path/{ours}")
        for path in ("rgb", "pose")
        for torch, ours in (("conv1", "conv1"), ("layer{s}.{b}", "layer{s}_{b}"))
    ),
    ("backbone.rgb_path.layer{s}_lateral.conv", "backbone/rgb_layer{s}_lateral"),
    ("backbone.pose_path.layer{s}_lateral.conv", "backbone/pose_layer{s}_lateral"),
    ("backbone.pose_path.layer{s}_lateral.bn", "backbone/pose_layer{s}_lateral/bn"),
    ("cls_head.fc_rgb", "head/rgb/fc"),
    ("cls_head.fc_pose", "head/pose/fc"),
)
ORDER = (
    "backbone cls_head rgb_path pose_path conv1 layer1 layer2 layer3 layer4 layer1_lateral"
    " layer2_lateral layer3_lateral conv2 conv3 downsample fc_rgb fc_pose conv bn weight bias"
    " running_mean running_var"
)
WEIGHTS = {"mmaction": Weights(ROWS, names.BUFFERS, ORDER)}
