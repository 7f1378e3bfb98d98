"""Dense regression network (Zeng et al., 2020), https://arxiv.org/abs/2004.03545.

It finds the part of a video that a sentence describes. The words weigh the channels of the features
of the video at three levels. Each point of each level predicts its distances to the start and the
end of that part, a score, and the overlap of its prediction with the true part.

Shapes: b batch, t rows of features, c channels, l words, h hidden units, n points of all levels.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Count, Natural
from jaxvid.errors import UserError
from jaxvid.layers.conv import Conv, ConvNorm, torch_uniform
from jaxvid.layers.norm import BatchNorm
from jaxvid.weights.convert import Weights
from jaxvid.weights.names.resnet import BUFFERS

STRIDES = (1, 2, 4)  # of the levels, in rows of features
PRIOR = 0.01  # initial score of a point
VARIANTS: dict[str, dict] = {
    "test": dict(channels=12, width=8, pyramid=8, hidden=8, embed=6),
    "mini": dict(width=32, pyramid=64, hidden=64, embed=50),
    "base": dict(),
    "c3d-4096": dict(channels=4096, vocabulary=1301),
}


class Dense(NamedTuple):
    """Predictions of all points, those of the finest level first, float32.

    Attributes:
      score: (b, n), logit of being in the part that the sentence describes.
      reach: (b, n, 2), distances from the point to the start and the end, in rows of features.
      overlap: (b, n), logit of the overlap (IoU) of the predicted and the true part.
    """

    score: jax.Array
    reach: jax.Array
    overlap: jax.Array


def within(bound):
    """Return an initializer of uniform values from -bound to bound."""

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def linear(x, features, name, dtype=jnp.float32):
    """Return a linear map of the channels of x, initialized as in PyTorch."""
    init = within(x.shape[-1] ** -0.5)
    return nn.Dense(features, dtype=dtype, kernel_init=init, bias_init=init, name=name)(x)


class Recurrent(nn.Module):
    """The weights of the recurrent part of an LSTM: kernel (h, 4 h), bias (4 h,)."""

    hidden: int

    @nn.compact
    def __call__(self):
        init = within(self.hidden**-0.5)
        shape = self.hidden, 4 * self.hidden
        return self.param("kernel", init, shape), self.param("bias", init, shape[1:])


class Lstm(nn.Module):
    """An LSTM over the words of a sentence, float32: (b, l, c), mask (b, l) -> (b, l, h).

    Words of padding, whose mask is False, do not change the state, and their outputs are 0.
    """

    hidden: int
    reverse: bool = False

    @nn.compact
    def __call__(self, x, mask):
        init = within(self.hidden**-0.5)
        x = nn.Dense(4 * self.hidden, kernel_init=init, bias_init=init, name="input")(x)
        kernel, bias = Recurrent(self.hidden, name="state")()

        def step(carry, word):
            (state, cell), (x, real) = carry, word
            gates = x + state @ kernel + bias
            let_in, keep, value, let_out = jnp.split(gates, 4, -1)
            new = nn.sigmoid(keep) * cell + nn.sigmoid(let_in) * jnp.tanh(value)
            out = nn.sigmoid(let_out) * jnp.tanh(new)
            real = real[:, None]
            return (jnp.where(real, out, state), jnp.where(real, new, cell)), out * real

        zeros = jnp.zeros((len(x), self.hidden), x.dtype)
        words = jnp.swapaxes(x, 0, 1), mask.T
        _, out = jax.lax.scan(step, (zeros, zeros), words, reverse=self.reverse)
        return jnp.swapaxes(out, 0, 1)


class Query(nn.Module):
    """Features of a sentence for each level: words (b, l), 0 for padding -> 3 (b, 2 h)."""

    vocabulary: int
    embed: int
    hidden: int

    @nn.compact
    def __call__(self, query):
        real = query > 0
        x = nn.Embed(
            self.vocabulary + 1,
            self.embed,
            embedding_init=nn.initializers.normal(1.0),
            name="words",
        )(query)
        ways = (Lstm(self.hidden, way == "backward", name=way) for way in ("forward", "backward"))
        x = jnp.concatenate([lstm(x, real) for lstm in ways], -1)
        last = jnp.maximum(real.sum(1) - 1, 0)[:, None, None]
        ends = jnp.concatenate([x[:, 0], jnp.take_along_axis(x, last, 1)[:, 0]], -1)
        whole = nn.relu(linear(ends, self.hidden, "whole"))
        init = within((2 * self.hidden) ** -0.5)
        score = nn.Dense(1, kernel_init=init, bias_init=init, name="score")
        found = []
        for level in range(len(STRIDES)):
            guide = linear(whole, 2 * self.hidden, f"guide{level}")
            attention = jnp.where(real, score(guide[:, None] * x)[..., 0], -1e30)
            found.append(jnp.einsum("bl,blc->bc", nn.softmax(attention), x))
        return found


class Pyramid(nn.Module):
    """Features of a video that a sentence weighs, at three levels: (b, t / stride, pyramid) each.

    The inputs are `feature` (b, t, c), `position` (b, t, 2), the start and end of each row as
    shares of the video, and `query` (b, l), numbers of words from 1 on, with 0 for padding.

    Attributes:
      channels: Number of channels of the input features; 0 accepts any number.
      width: Number of channels of the first level, and of the position. The next levels have two
        and four times as many.
      pyramid: Number of channels of all levels after they are joined from coarse to fine.
      hidden: Number of units of the LSTM, for each direction.
      embed: Number of channels of the embedding of a word.
      vocabulary: Number of words; 0 is the number of words of the data.
      remat: Recompute the levels in the backward pass. This saves memory and makes training slower.
    """

    channels: Natural = 0
    width: Count = 256
    pyramid: Count = 512
    hidden: Count = 512
    embed: Count = 300
    vocabulary: Natural = 0
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, feature, position, query, *, train=False):
        rows, channels = feature.shape[1:]
        if rows % STRIDES[-1] or self.channels not in (0, channels):
            raise ValueError(
                f"features are (b, multiple of {STRIDES[-1]}, {self.channels or 'any'}), not"
                f" {feature.shape}"
            )
        queries = Query(self.vocabulary, self.embed, self.hidden, name="query")(query)
        x = linear(feature.astype(self.dtype), channels, "fc", self.dtype)
        length = position[..., 1:] - position[..., :1]
        place = linear(jnp.concatenate([position, length], -1), self.width, "position")

        def apply(layer, x):
            return layer(x, train=train)

        def conv(x, features, size, stride, name):
            options: dict[str, Any] = dict(kernel_init=torch_uniform, dtype=self.dtype, name=name)
            layer = ConvNorm(features, (size,), (stride,), **options)
            return (nn.remat(apply) if self.remat else apply)(layer, x)

        levels = []
        for i, words in enumerate(queries):
            weights = linear(words, x.shape[-1], f"query_to{i}")
            x = x * weights[:, None].astype(self.dtype)
            if i == 0:
                x = jnp.concatenate([x, place.astype(self.dtype)], -1)
            x = conv(x, self.width * 2**i, 3, 1 if i == 0 else 2, f"level{i}")
            levels.append(x)
        joined: list = []
        for i in reversed(range(len(levels))):
            x = conv(levels[i], self.pyramid, 1, 1, f"lateral{i}")
            if joined:
                x = x + jnp.repeat(joined[-1], 2, 1)
            joined.append(x)
        joined = joined[::-1]
        return tuple(conv(x, self.pyramid, 3, 1, f"smooth{i}") for i, x in enumerate(joined))


class Layer(nn.Module):
    """Convolution with bias over time, batch normalization, ReLU: (b, t, c) -> (b, t, features)."""

    features: int
    size: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):
        init = nn.initializers.normal(0.01)
        conv = Conv(
            self.features,
            (self.size,),
            use_bias=True,
            kernel_init=init,
            dtype=self.dtype,
            name="conv",
        )
        return nn.relu(BatchNorm(dtype=self.dtype, name="bn")(conv(x), train=train))


class Head(nn.Module):
    """Predictions of the points of all levels: 3 (b, t / stride, c) -> Dense.

    Attributes:
      only_overlap: see `build`.
    """

    only_overlap: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, levels, *, train):
        width = levels[0].shape[-1]
        small: dict[str, Any] = dict(use_bias=True, kernel_init=nn.initializers.normal(0.01))
        small["dtype"] = self.dtype
        prior = nn.initializers.constant(-np.log((1 - PRIOR) / PRIOR))
        score_tower = Layer(width, 3, self.dtype, name="score_tower")
        reach_tower = Layer(width, 3, self.dtype, name="reach_tower")
        score = Conv(1, (3,), **small, bias_init=prior, name="score")
        reach = Conv(2, (3,), **small, name="reach")
        mix = Layer(width, 1, self.dtype, name="mix")
        overlap_tower = Layer(width // 2, 3, self.dtype, name="overlap_tower")
        overlap = Conv(1, (1,), **small, name="overlap")
        found = []
        for i, x in enumerate(levels):
            factor = self.param(f"factor{i}", nn.initializers.ones, (1,))
            scores, reaches = score_tower(x, train=train), reach_tower(x, train=train)
            distance = jnp.exp(factor * reach(reaches).astype(jnp.float32))
            both = jnp.concatenate([scores, reaches], -1)
            if self.only_overlap:
                both, distance = jax.lax.stop_gradient((both, distance))
            fits = overlap(overlap_tower(mix(both, train=train), train=train))
            found.append(Dense(score(scores)[..., 0], distance, fits[..., 0]))
        return Dense(
            *(jnp.concatenate(part, 1).astype(jnp.float32) for part in zip(*found, strict=True))
        )


class DRN(nn.Module):
    """Dense regression network: feature (b, t, c), position (b, t, 2), query (b, l) -> Dense."""

    backbone: Pyramid
    head: Head

    def __call__(self, feature, position, query, *, train):
        levels = self.backbone(feature, position, query, train=train)
        return self.head(levels, train=train)


def example(variant):
    """Return shapes and dtypes of a batch of two small inputs, by name."""
    channels = VARIANTS[variant].get("channels") or 20
    shapes = {"feature": (2, 8, channels), "position": (2, 8, 2)}
    given = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    return given | {"query": jax.ShapeDtypeStruct((2, 5), jnp.int32)}


def backbone(variant, *, num_classes=0, **overrides):
    options = {**VARIANTS[variant], **overrides}
    vocabulary = options.get("vocabulary") or num_classes
    if vocabulary < num_classes:
        raise UserError(
            f"config.model.vocabulary={vocabulary}, but the data have {num_classes:,} words"
        )
    return Pyramid(**{**options, "vocabulary": vocabulary})


def build(variant, *, num_classes=0, only_overlap: bool = False, dtype=jnp.float32, **overrides):
    """Return the network; other arguments are those of `Pyramid`.

    Args:
      num_classes: number of words of the data.
      only_overlap: Train only the layers that predict the overlap, as the second of the three
        stages of the paper. The parameters of all other layers stay.
    """
    net = backbone(variant, num_classes=num_classes, dtype=dtype, **overrides)
    return DRN(net, Head(only_overlap, dtype))


# "query_encoder.biLSTM.weight_ih_l0_reverse" -> "backbone/query/backward/input/kernel"
LSTM = tuple(
    (f"query_encoder.biLSTM.{kind}_{theirs}_l0{end}", f"backbone/query/{way}/{ours}/{kind}")
    for way, end in (("forward", ""), ("backward", "_reverse"))
    for theirs, ours in (("ih", "input"), ("hh", "state"))
    for kind in ("weight", "bias")
)
# "fcos.head.bbox_tower.0.weight" -> "head/reach_tower/conv/kernel"
LAYERS = tuple(
    (f"{theirs}.{number}", f"{ours}/{part}")
    for theirs, ours in (
        ("backbone_net.layers.{i}", "backbone/level{i}"),
        ("fpn.inner_blocks.{i}", "backbone/lateral{i}"),
        ("fpn.layer_blocks.{i}", "backbone/smooth{i}"),
        ("fcos.head.cls_tower", "head/score_tower"),
        ("fcos.head.bbox_tower", "head/reach_tower"),
        ("fcos.head.mix_fc", "head/mix"),
        ("fcos.head.iou_scores", "head/overlap_tower"),
    )
    for number, part in ((0, "conv"), (1, "bn"))
)
WEIGHTS = {
    "mmaction": Weights(
        rename=(
            *LSTM,
            *LAYERS,
            ("query_encoder.embedding", "backbone/query/words"),
            ("query_encoder.W3", "backbone/query/whole"),
            ("query_encoder.W2.{i}", "backbone/query/guide{i}"),
            ("query_encoder.W1", "backbone/query/score"),
            ("prop_fc", "backbone/fc"),
            ("position_transform", "backbone/position"),
            ("qInput.{i}", "backbone/query_to{i}"),
            ("fcos.head.cls_logits", "head/score"),
            ("fcos.head.bbox_pred", "head/reach"),
            ("fcos.head.iou_scores.3", "head/overlap"),
            ("fcos.head.scales.{i}.scale", "head/factor{i}"),
        ),
        skip=BUFFERS,
        order="query_encoder embedding biLSTM weight_ih_l0 weight_hh_l0 bias_ih_l0 bias_hh_l0"
        " weight_ih_l0_reverse weight_hh_l0_reverse bias_ih_l0_reverse bias_hh_l0_reverse W3 W2 W1"
        " backbone_net fpn inner_blocks layer_blocks fcos cls_tower bbox_tower cls_logits bbox_pred"
        " mix_fc iou_scores scales prop_fc position_transform qInput weight bias running_mean"
        " running_var",
    )
}
