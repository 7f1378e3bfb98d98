"""Long-term feature bank (Wu et al., 2019): what people do now, and in the minute around it.

https://arxiv.org/abs/1812.05038. A Fast R-CNN on clips whose boxes are joined with features of
people at other times. These come from a bank, which a detector without a bank has filled before
(`jaxvid.tools.make_bank`). A feature bank operator makes one vector of them.

Shapes: b batch, t frames, n boxes, m entries of the bank, c channels, d latent channels, p q bins
of a box, h height, w width.
"""

from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Backbone, Count, Rate
from jaxvid.layers.conv import he_normal
from jaxvid.models import fast_rcnn
from jaxvid.ops.attention import attention
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import fixes

# A detector has no sizes of its own. This spec is for tests.
VARIANTS: dict[str, dict] = {
    "test": dict(backbone=dict(name="slowonly", variant="test"), latent=4),
}
Operator = Literal["non_local", "avg", "max"]


class Attend(nn.Module):
    """Attends with boxes (b, n, d) to a bank (b, m, d): (b, n, d), to be added to the boxes.

    Attributes:
      dropout: Dropout rate of the result.
    """

    dropout: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, boxes, bank, *, train):
        width = boxes.shape[-1]
        inputs = dict(query=boxes, key=bank, value=bank)
        q, k, v = (dense(width, self.dtype, name)(x)[:, :, None] for name, x in inputs.items())
        x = attention(q, k, v)[:, :, 0]
        x = nn.relu(nn.LayerNorm(1e-5, dtype=self.dtype, name="norm")(x))
        x = dense(width, self.dtype, "out")(x)
        return nn.Dropout(self.dropout, deterministic=not train)(x)


class FeatureBankOperator(nn.Module):
    """Joins boxes (b, n, p, q, c) with a bank (b, m, c): (b, n, 1, 1, c + d), or 2 c channels.

    Entries of a bank are zeros where nobody was seen. As published, they count like others.

    Attributes:
      operator, latent, layers, bank_dropout: See `build`.
    """

    needs_bank: ClassVar[bool] = True

    operator: str
    latent: int
    layers: int
    bank_dropout: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, rois, maps, valid, bank, *, train):
        now, bank = rois.max((2, 3)).astype(self.dtype), bank.astype(self.dtype)
        if self.operator == "non_local":
            drop = nn.Dropout(self.bank_dropout, deterministic=not train)
            found = drop(dense(self.latent, self.dtype, "short")(now))
            bank = drop(dense(self.latent, self.dtype, "long")(bank))
            for i in range(self.layers):
                attend = Attend(self.bank_dropout, self.dtype, name=f"attend{i + 1}")
                found = found + attend(found, bank, train=train)
        else:
            pooled = bank.max(1) if self.operator == "max" else bank.mean(1)
            found = jnp.broadcast_to(pooled[:, None], (*now.shape[:2], bank.shape[-1]))
        return jnp.concatenate([now, found], -1)[:, :, None, None]


def dense(features, dtype, name):
    return nn.Dense(features, kernel_init=he_normal, dtype=dtype, name=name)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, with five boxes in each."""
    return fast_rcnn.example(variant) | {"bank": jax.ShapeDtypeStruct((2, 6, 16), jnp.float32)}


def build(
    *,
    backbone: Backbone,
    num_classes,
    background: bool = False,
    operator: Operator = "non_local",
    latent: Count = 512,
    layers: Count = 2,
    bank_dropout: Rate = 0.2,
    dropout: Rate = 0.5,
    dtype=jnp.float32,
):
    """Return the detector.

    Args:
      backbone: The family that computes the features, see `fast_rcnn.build`.
      background: Add an output for "no class" at the start of the linear layer, because published
        weights have it. It is not used and not trained.
      operator: How the entries of the bank become one vector: "non_local" attends to them with the
        features of each box; "avg" and "max" take their mean or their maximum.
      latent: Channels of the attention of "non_local".
      layers: Number of attentions of "non_local", one after the other.
      bank_dropout: Dropout rate inside "non_local", in training.
      dropout: Dropout rate before the linear layer, in training.

    Raises:
      UserError: the backbone gives no map of the frame.
    """
    relation = FeatureBankOperator(operator, latent, layers, bank_dropout, dtype)
    options = background, "avg", False, False, dropout, dtype
    return fast_rcnn.detector(backbone, num_classes, *options, relation=relation)


# Weights

FBO = "roi_head.shared_head.fbo"
# "roi_head.shared_head.fbo.st_feat_conv.weight" -> "head/relation/short/kernel"
NAMES = (
    (f"{FBO}.st_feat_conv", "head/relation/short"),
    (f"{FBO}.lt_feat_conv", "head/relation/long"),
    (f"{FBO}.non_local_layer_{{i}}.st_feat_conv.conv", "head/relation/attend{i}/query"),
    (f"{FBO}.non_local_layer_{{i}}.lt_feat_conv.conv", "head/relation/attend{i}/key"),
    (f"{FBO}.non_local_layer_{{i}}.global_conv.conv", "head/relation/attend{i}/value"),
    (f"{FBO}.non_local_layer_{{i}}.ln", "head/relation/attend{i}/norm"),
    (f"{FBO}.non_local_layer_{{i}}.out_conv.conv", "head/relation/attend{i}/out"),
)
WEIGHTS = {
    "mmaction": Weights(
        lambda net: (*fast_rcnn.openmmlab(net), *NAMES),
        order="shared_head bbox_head st_feat_conv lt_feat_conv non_local_layer_1 non_local_layer_2"
        " global_conv ln out_conv",
        fix=fixes.chain(
            fixes.without_ones(r"roi_head\.shared_head\.fbo\..*conv\.weight", 2, 3, 4),
            fixes.without_ones(r"roi_head\.shared_head\.fbo\..*\.ln\.\w+", 1, 2, 3),
        ),
    )
}
