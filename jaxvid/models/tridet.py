"""TriDet (Shi et al., 2023), https://arxiv.org/abs/2303.07347.

It is ActionFormer with other blocks and another head. A block (SGP, scalable-granularity
perception) replaces attention by convolutions of each channel. The head predicts distributions: how
likely each of the next steps to the left and to the right is the start and the end.

Shapes: b batch, t steps of time, c channels, m classes, k bins; t' = t / 2^i at level i.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Natural, NonNegative, Positive, Rate
from jaxvid.layers.conv import torch_uniform
from jaxvid.layers.timeline import (
    ConvNormRelu,
    Depthwise,
    Points,
    Scale,
    Tower,
    add_positions,
    check,
    class_bias,
    hide,
    inputs_of,
    pool,
    step_mask,
)
from jaxvid.layers.transformer import LayerScale, exact_gelu, norm
from jaxvid.weights.convert import Weights
from jaxvid.weights.names.fixes import chain, without_ones

VARIANTS: dict[str, dict] = {
    "test": dict(width=16, window=(1, 1, 3), k=2.0, channels=12, stem=1, levels=3, hidden=24),
    "mini": dict(width=96, window=(1,) * 5, levels=5, hidden=144),
    "base": dict(),
    "thumos": dict(channels=2048, noise=0.0005),
    "anet": dict(
        channels=512,
        width=256,
        head_width=512,
        window=(15,) * 6,
        k=1.3,
        hidden=2048,
        positions=768,
        noise=0.5,
        spread=0.2,
    ),
    "epic-verb": dict(channels=2304, window=(5,) * 6, k=2.0, hidden=1024),
    "epic-noun": dict(channels=2304, k=4.0, hidden=1024),
}


class Block(nn.Module):
    """Three products of convolutions of each channel, and an MLP: (b, t, c) -> (b, t / stride, c).

    Attributes:
      window: Steps of the smaller convolution.
      k: The larger convolution has about k (window + 1) steps.
      hidden: Channels inside the MLP.
      scaled: Branches have learned factors, and are dropped at the rate `drop_path` in training.
      spread: Standard deviation of the initial convolutions.
    """

    window: int
    k: float
    hidden: int
    stride: int = 1
    scaled: bool = True
    drop_path: float = 0.0
    spread: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, mask, train):
        """Apply both branches. `mask` (b, t / stride) is that of the result."""
        x = x if self.stride == 1 else pool(x)
        y = norm("norm1", self.dtype)(x)

        def conv(name, x, steps):
            start = nn.initializers.normal(self.spread) if self.spread else nn.initializers.zeros
            options: Any = dict(use_bias=True, kernel_init=start, dtype=self.dtype)
            return Depthwise(steps, **options, name=name)(x)

        whole = nn.relu(conv("mean", y.mean(1, keepdims=True), 1))
        near = conv("near", y, self.window) + conv("far", y, far(self.window, self.k))
        y = conv("step", y, 1) * whole + near * conv("gate", y, self.window) + y
        x = hide(x, mask) + self._branch("ls1", y, train)
        y = nn.GroupNorm(16, epsilon=1e-5, dtype=self.dtype, name="norm2")(x)
        options: Any = dict(kernel_init=torch_uniform, dtype=self.dtype)
        y = exact_gelu(nn.Dense(self.hidden, **options, name="fc1")(y))
        return x + self._branch("ls2", nn.Dense(x.shape[-1], **options, name="fc2")(y), train)

    def _branch(self, name, y, train):
        if not self.scaled:
            return y
        drop = nn.Dropout(self.drop_path, broadcast_dims=(1, 2), deterministic=not train)
        return drop(LayerScale(1e-4, self.dtype, name=name)(y))


def far(window: int, k: float) -> int:
    """Return the odd number of steps of the larger convolution."""
    steps = round((window + 1) * k)
    return steps + (steps % 2 == 0)


class Pyramid(nn.Module):
    """Embedding, blocks and a normalization of each level.

    Padding takes part in means over time and in normalizations. So results depend on the number of
    padded steps, as published.

    Attributes:
      channels: Number of channels of the input features; 0 accepts any number.
      width: Number of channels of the network, a multiple of 16.
      window: Steps of the smaller convolutions, odd numbers: for the blocks before the pyramid and
        the first level, and for each other level.
      k: The larger convolutions have about k (window + 1) steps.
      hidden: Channels inside the MLPs.
      stem: Number of blocks before the pyramid.
      levels: Number of levels of the pyramid. Each has half as many steps as the one before.
      positions: Length of a table of sines and cosines that is added to the steps; 0 adds none.
        It is resized if the input is longer.
      head_width: Number of channels of the heads; 0 means `width`.
      noise: Standard deviation of the noise that is added to features in training.
      spread: Standard deviation of the initial convolutions of the blocks.
      drop_path: Rate at which the branches of a block are dropped in training.
      remat: Recompute the blocks in the backward pass instead of storing their activations.
    """

    channels: Natural = 0
    width: Count = 512
    window: tuple[Count, ...] = (1,) * 6
    k: Positive = 5.0
    hidden: Count = 768
    stem: Natural = 2
    levels: Count = 6
    positions: Natural = 0
    head_width: Natural = 0
    noise: NonNegative = 0.0
    spread: NonNegative = 0.0
    drop_path: Rate = 0.1
    remat: bool = False
    dtype: Any = jnp.float32

    @property
    def conv(self) -> dict[str, Any]:
        """Options of `ConvNormRelu` and `Tower`."""
        return dict(hide_last=False, epsilon=1e-5, dtype=self.dtype)

    @nn.compact
    def __call__(self, feature, rows, *, train=False):
        """Return (b, t', c) for each level; arguments are those of ActionFormer's pyramid."""
        check(self, feature.shape)
        mask = step_mask(rows, feature.shape[1])
        x = hide(feature.astype(self.dtype), mask)
        if self.noise and train:
            drawn = jax.random.normal(self.make_rng("dropout"), x.shape, self.dtype)
            x = x + self.noise * drawn
        for i in range(2):
            x = ConvNormRelu(self.width, **self.conv, name=f"embed{i}")(x, mask)
        x = add_positions(x, mask, self.positions)
        kind = nn.remat(Block, static_argnums=(3,)) if self.remat else Block

        def block(name, level, stride, x):
            options = self.window[level], self.k, self.hidden, stride, stride > 1
            make = kind(*options, self.drop_path, self.spread, self.dtype, name=name)
            return make(x, mask[:, :: 2**level], train)

        for i in range(self.stem):
            x = block(f"stem{i}", 0, 1, x)
        maps = [x]
        for i in range(1, self.levels):
            maps.append(block(f"branch{i - 1}", i, 2, maps[-1]))
        return tuple(norm(f"level{i}", self.dtype)(x) for i, x in enumerate(maps))


class TriDet(nn.Module):
    """The pyramid with its heads: feature (b, t, c) and rows (b,) -> Points, by class."""

    backbone: Pyramid
    num_classes: int
    bins: int = 16

    @nn.compact
    def __call__(self, feature, rows, *, train):
        base = self.backbone
        maps = base(feature, rows, train=train)
        head = TridentHead(
            self.num_classes, self.bins, base.head_width or base.width, base.conv, name="head"
        )
        return head(maps, rows)


class TridentHead(nn.Module):
    """Heads for classes, starts, ends and bins: (b, t', c) for each level -> Points.

    A distance is the mean of the numbers of the bins, weighted by the softmax of two terms: scores
    of the steps as starts or ends of a class, and scores of the bins at the point.

    Attributes:
      bins: Largest distance, in steps of the level.
      width: Channels of the convolutions.
      conv: Options of `Tower`.
    """

    num_classes: int
    bins: int
    width: int
    conv: dict[str, Any]

    @nn.compact
    def __call__(self, maps, rows):
        names = "classes", "starts", "ends"
        options = self.num_classes, self.width
        towers = {
            name: Tower(*options, bias=class_bias(), **self.conv, name=name) for name in names
        }
        locate = Tower(2 * (self.bins + 1), self.width, **self.conv, name="bins")
        logits, offsets = [], []
        for i, x in enumerate(maps):
            mask = step_mask(rows, maps[0].shape[1])[:, :: 2**i]
            start, end = (
                hide(towers[name](jax.lax.stop_gradient(x), mask), mask) for name in names[1:]
            )
            bins = Scale(name=f"scale{i}")(hide(locate(x, mask), mask))
            logits.append(hide(towers["classes"](x, mask), mask))
            offsets.append(expected(start, end, bins))
        return Points(tuple(logits), tuple(offsets))


def expected(start, end, bins):
    """Return the mean distances (b, t, m, 2).

    Args:
      start: (b, t, m), scores of the steps as starts; 0 counts outside.
      end: (b, t, m), scores of the steps as ends.
      bins: (b, t, 2 k), scores of the bins of both sides, those of the start from far to near.
    """
    t, k = bins.shape[1], bins.shape[2] // 2
    sides = []
    for x, pad, part in ((start, (k - 1, 0), bins[..., :k]), (end, (0, k - 1), bins[..., k:])):
        x = jnp.pad(x, ((0, 0), pad, (0, 0)))
        near = jnp.stack([x[:, i : i + t] for i in range(k)], -1)  # (b, t, m, k)
        sides.append(nn.softmax(near + part[:, :, None]))
    steps = jnp.arange(k, dtype=jnp.float32)
    return jnp.stack([sides[0] @ steps[::-1], sides[1] @ steps], -1)


def example(variant):
    """Return shapes and dtypes of a batch of two small inputs, by name."""
    return inputs_of(backbone(variant))


def backbone(variant, **overrides):
    return Pyramid(**{**VARIANTS[variant], **overrides})


def build(
    variant,
    *,
    num_classes,
    bins: Count = 16,
    agnostic: bool = False,
    dtype=jnp.float32,
    **overrides,
):
    """Return the detector; other arguments are those of `Pyramid`.

    Args:
      bins: Largest distance of a point to the start and to the end, in steps of its level.
      agnostic: Predict one score for all classes instead of one for each.
    """
    net = backbone(variant, dtype=dtype, **overrides)
    return TriDet(net, 1 if agnostic else num_classes, bins)


# Weights

BLOCK = (
    ("ln", "norm1"),
    ("gn", "norm2"),
    ("psi", "gate"),
    ("fc", "step"),
    ("convw", "near"),
    ("convkw", "far"),
    ("global_fc", "mean"),
    ("mlp.0", "fc1"),
    ("mlp.2", "fc2"),
    ("drop_path_out.scale", "ls1/gamma"),
    ("drop_path_mlp.scale", "ls2/gamma"),
)
HEADS = (("cls_head", "classes"), ("start_head", "starts"), ("end_head", "ends"))
# "backbone.stem.0.psi.weight" -> "backbone/stem0/gate/kernel"
AUTHORS = (
    *(
        (f"backbone.{kind}.{{b}}.{theirs}", f"backbone/{kind}{{b}}/{ours}")
        for kind in ("stem", "branch")
        for theirs, ours in BLOCK
    ),
    ("backbone.embd.{i}.conv", "backbone/embed{i}/conv"),
    ("backbone.embd_norm.{i}", "backbone/embed{i}/norm"),
    ("neck.fpn_norms.{i}", "backbone/level{i}"),
    *((f"{theirs}.head.{{i}}.conv", f"head/{ours}/conv{{i}}/conv") for theirs, ours in HEADS),
    *((f"{theirs}.norm.{{i}}", f"head/{ours}/conv{{i}}/norm") for theirs, ours in HEADS),
    *((f"{theirs}.cls_head.conv", f"head/{ours}/out") for theirs, ours in HEADS),
    ("reg_head.head.{i}.conv", "head/bins/conv{i}/conv"),
    ("reg_head.norm.{i}", "head/bins/conv{i}/norm"),
    ("reg_head.offset_head.conv", "head/bins/out"),
    ("reg_head.scale.{i}.scale", "head/scale{i}/gamma"),
)
ONES = without_ones(r".*\.drop_path_\w+\.scale", 0, 2)
NORMS = without_ones(r".*\.(embd_norm\.\d|fpn_norms\.\d|norm\.\d|ln)\.(weight|bias)", 0, 2)
LINEAR = without_ones(r".*\.mlp\.\d\.weight", 2)
ORDER = (
    "backbone embd embd_norm conv stem branch ln gn psi fc convw convkw global_fc mlp drop_path_out"
    " drop_path_mlp neck cls_head start_head end_head reg_head head norm cls_head.cls_head"
    " start_head.cls_head end_head.cls_head scale offset_head weight bias"
)
WEIGHTS = {
    "authors": Weights(
        AUTHORS, skip=("point_generator.*",), order=ORDER, fix=chain(ONES, NORMS, LINEAR)
    )
}
