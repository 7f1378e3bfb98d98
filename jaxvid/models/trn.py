"""Temporal Relational Reasoning (Zhou et al., 2018), https://arxiv.org/abs/1711.08496.

A 2-D network sees frames of the whole video, and small networks classify ordered tuples of their
features: one of all frames, and for each smaller number some tuples of that number of frames.

Shapes: b batch, t frames, h height, w width, c channels, n tuples, m frames of a tuple, d = 256
features of a frame.
"""

import itertools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Count, Rate
from jaxvid.layers import heads, resnet
from jaxvid.layers.conv import torch_uniform
from jaxvid.ops import frames
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import resnet as names

VARIANTS: dict[str, dict] = {
    "test": dict(depths=(1, 2), width=4),
    "r50": resnet.DEPTHS["r50"],
}
TUPLES = 3  # of each number of frames, at most


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two."""
    return {"video": jax.ShapeDtypeStruct((2, 8, 32, 32, 3), jnp.float32)}


class Relation(nn.Module):
    """Scores of tuples of frames: a network with one hidden layer."""

    num_classes: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, x):  # (b, n, m, d) -> (b, n, classes)
        x = nn.relu(x.reshape(*x.shape[:2], -1))
        options = dict(dtype=self.dtype, kernel_init=torch_uniform)
        x = nn.relu(nn.Dense(self.hidden, **options, name="fc1")(x))
        return nn.Dense(self.num_classes, **options, name="fc2")(x)


class RelationClassifier(nn.Module):
    """Sums the scores of tuples of frames.

    Training draws the tuples at random for each batch. Evaluation takes always the same.

    Attributes:
      features: Number of features of a frame.
      frames, multi_scale, dropout: See `build`.
      init_std: Standard deviation of the initial weights of the features.
    """

    num_classes: int
    features: int
    frames: int
    multi_scale: bool
    dropout: float
    dtype: Any
    init_std: float = 0.001

    @nn.compact
    def __call__(self, x, *, train):  # (b, t, h, w, c) -> (b, classes), float32
        x = x.mean((2, 3))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        init = nn.initializers.normal(self.init_std)
        x = nn.Dense(self.features, dtype=self.dtype, kernel_init=init, name="fc")(x)
        if not self.multi_scale:
            relation = Relation(self.num_classes, 2 * self.features, self.dtype, name="relation")
            return relation(x[:, None])[:, 0].astype(jnp.float32)
        total = 0.0
        for i, chosen in enumerate(self._tuples(train)):
            relation = Relation(self.num_classes, self.features, self.dtype, name=f"relation{i}")
            total = total + relation(x[:, chosen]).astype(jnp.float32).sum(1)
        return total

    def _tuples(self, train):
        """Return frames (n, m) for each m from t to 2."""
        if not train:
            return fixed_tuples(self.frames)
        keys = jax.random.split(self.make_rng("dropout"), self.frames)
        every = zip(keys, all_tuples(self.frames), strict=False)
        return [
            jnp.asarray(rows)[jax.random.choice(key, len(rows), drawn(rows), replace=False)]
            for key, rows in every
        ]


def all_tuples(frames: int) -> list[np.ndarray]:
    """Return all ordered tuples of frames, an array (n, m) for each m from `frames` to 2."""
    sizes = range(frames, 1, -1)
    return [np.array([*itertools.combinations(range(frames), m)]) for m in sizes]


def fixed_tuples(frames: int) -> list[np.ndarray]:
    """Return the tuples of an evaluation: those of upstream if NumPy's seed is 0."""
    rng = np.random.RandomState(0)
    whole, *rest = all_tuples(frames)
    return [whole, *(rows[rng.choice(len(rows), drawn(rows), replace=False)] for rows in rest)]


def drawn(rows: np.ndarray) -> tuple[int]:
    """Return the number of tuples that are drawn of these."""
    return (min(TUPLES, len(rows)),)


class TRN(heads.Recognizer):
    """A recognizer whose head is for a certain number of frames."""

    def __call__(self, video, *, train):
        frames.check_count(self.head.frames, video)
        return super().__call__(video, train=train)


def backbone(variant, **overrides):
    return resnet.ResNet(**{**VARIANTS[variant], **overrides})


def build(
    variant,
    *,
    num_classes,
    frames: Count = 8,
    multi_scale: bool = True,
    dropout: Rate = 0.8,
    dtype=jnp.float32,
    **overrides,
):
    """Return the recognizer; other arguments are those of `ResNet`.

    Args:
      frames: Number of frames of a clip. Layers of the head depend on it.
      multi_scale: Also classify tuples of fewer frames, three for each number from 2 on.
      dropout: Share of the features that is dropped before the relations in training.
    """
    net = backbone(variant, dtype=dtype, **overrides)
    features = 4 * net.width
    head = RelationClassifier(num_classes, features, frames, multi_scale, dropout, dtype)
    return TRN(net, head)


SCALES = "cls_head.consensus.fc_fusion_scales"
# "cls_head.consensus.fc_fusion_scales.0.1.weight" -> "head/relation0/fc1/kernel"
OPENMMLAB = (
    *names.OPENMMLAB,
    ("cls_head.fc_cls", "head/fc"),
    (f"{SCALES}.{{i}}.1", "head/relation{i}/fc1"),
    (f"{SCALES}.{{i}}.3", "head/relation{i}/fc2"),
    ("cls_head.consensus.classifier.1", "head/relation/fc1"),
    ("cls_head.consensus.classifier.3", "head/relation/fc2"),
)
RELATIONS = tuple((f"relation{i}", f"head/relation{i}") for i in ("", "{i}"))
WEIGHTS = {
    "mmaction": Weights(OPENMMLAB, names.BUFFERS, f"consensus {names.ORDER} fc_cls"),
    "torchvision": names.recognizer((*names.TORCHVISION, *RELATIONS), "fc"),
}
