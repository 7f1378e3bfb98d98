"""The pre-training of VideoMAE (Tong et al., 2022), https://arxiv.org/abs/2203.12602.

The encoder sees the visible tenth of the tokens. A small decoder gets its results and, for each
hidden token, a learned token and its position, and restores the pixels. The task is "masked".

Shapes: b batch, k visible and m hidden tokens, c channels of the decoder, p values of a patch.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvid.config.values import Count, Positive
from jaxvid.layers.transformer import Block, Remat, norm, remat
from jaxvid.layers.vit import ViT
from jaxvid.models import videomae
from jaxvid.ops.position import sine_cosine
from jaxvid.weights.convert import Weights

XAVIER = nn.initializers.xavier_uniform()
ENCODER: dict[str, Any] = dict(final_norm=True, kernel_init=XAVIER)
VARIANTS: dict[str, dict] = {
    variant: options
    for variant, options in videomae.VARIANTS.items()
    if variant != "giant"  # was pre-trained with the decoder of VideoMAE v2
}
# Channels, heads and blocks of the decoder.
DECODERS = {
    "test": (8, 2, 1),
    "mini": (32, 2, 2),
    "small": (192, 3, 4),
    "base": (384, 6, 4),
    "large": (512, 8, 12),
    "huge": (640, 8, 12),
}


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, of which half is visible."""
    net = backbone(variant)
    t, h, w = net.grid
    numbers = jax.ShapeDtypeStruct((2, t * h * w // 2), jnp.int32)
    return videomae.example_of(net) | {"visible": numbers, "hidden": numbers}


class Decoder(nn.Module):
    """Restores hidden patches: visible tokens (b, k, width), numbers -> (b, m, p), float32.

    Attributes:
      tokens: Number of all tokens of a clip.
      values: Number p of values of a patch.
      width, depth, heads, epsilon: Of the decoder, see `build`.
      remat: See `ViT`.
      dtype: Compute dtype.
    """

    tokens: int
    values: int
    width: int
    depth: int
    heads: int
    epsilon: float
    norm_epsilon: float
    remat: Remat
    dtype: Any

    @nn.compact
    def __call__(self, x, visible, hidden, *, train):
        dense = partial(nn.Dense, kernel_init=XAVIER, dtype=self.dtype)
        table = jnp.asarray(sine_cosine(self.tokens, self.width), self.dtype)
        init = nn.initializers.truncated_normal(0.02)
        token = self.param("mask_token", init, (1, 1, self.width)).astype(self.dtype)
        x = dense(self.width, use_bias=False, name="embed")(x) + table[visible]
        x = jnp.concatenate([x, token + table[hidden]], 1)
        block = partial(remat(Block, self.remat), self.heads, qkv_bias="qv", epsilon=self.epsilon)
        for i in range(self.depth):
            x = block(kernel_init=XAVIER, dtype=self.dtype, name=f"block{i}")(x, train)
        x = norm("norm", self.dtype, self.norm_epsilon)(x[:, -hidden.shape[1] :])
        return dense(self.values, name="fc")(x).astype(jnp.float32)


class MaskedAutoEncoder(nn.Module):
    """video (b, T, H, W, 3), numbers of tokens (b, k) and (b, m) -> hidden patches (b, m, p)."""

    backbone: ViT
    decoder: Decoder

    def __call__(self, video, visible, hidden, *, train):
        x = self.backbone(video, visible, train=train)
        return self.decoder(x, visible, hidden, train=train)


def backbone(variant, **overrides):
    return ViT(**{**ENCODER, **VARIANTS[variant], **overrides})


def build(
    variant,
    *,
    decoder_width: Count | None = None,
    decoder_heads: Count | None = None,
    decoder_depth: Count | None = None,
    norm_epsilon: Positive = 1e-6,
    dtype=jnp.float32,
    **overrides,
):
    """Return the encoder with its decoder; other arguments are those of `ViT`.

    Args:
      decoder_width: Channels of the tokens of the decoder. None is that of the variant.
      decoder_heads: Attention heads of the decoder. None is that of the variant.
      decoder_depth: Blocks of the decoder. None is that of the variant.
      norm_epsilon: Number that the last normalization of the decoder adds to the variance.
    """
    net = backbone(variant, dtype=dtype, **overrides)
    width, heads, depth = DECODERS[variant]
    t, h, w = net.grid
    a, i, j = net.patch
    decoder = Decoder(
        tokens=t * h * w,
        values=3 * a * i * j,
        width=decoder_width or width,
        depth=decoder_depth or depth,
        heads=decoder_heads or heads,
        epsilon=net.epsilon,
        norm_epsilon=norm_epsilon,
        remat=net.remat,
        dtype=dtype,
    )
    return MaskedAutoEncoder(net, decoder)


# Weights


def official() -> Weights:
    """Return the table of github.com/MCG-NJU/VideoMAE."""
    # "decoder.blocks.0.mlp.fc1.weight" -> "decoder/block0/mlp/fc1/kernel"
    rows = (
        ("encoder.patch_embed.proj", "backbone/patch_embed"),
        ("encoder.blocks.{i}", "backbone/block{i}"),
        ("encoder.norm", "backbone/norm"),
        ("encoder_to_decoder", "decoder/embed"),
        ("mask_token", "decoder/mask_token"),
        ("decoder.blocks.{i}", "decoder/block{i}"),
        ("decoder.norm", "decoder/norm"),
        ("decoder.head", "decoder/fc"),
    )
    return Weights(rows, order=f"mask_token encoder {videomae.ORDER}", fix=videomae.BIASES)


def transformers() -> Weights:
    """Return the table of transformers.VideoMAEForPreTraining."""
    # "decoder.decoder_layers.0.layernorm_before.bias" -> "decoder/block0/norm1/bias"
    patches = "videomae.embeddings.patch_embeddings.projection"
    rows = (
        (patches, "backbone/patch_embed"),
        *videomae.hugging_face_blocks("videomae.encoder.layer", "backbone"),
        ("videomae.layernorm", "backbone/norm"),
        ("encoder_to_decoder", "decoder/embed"),
        ("mask_token", "decoder/mask_token"),
        *videomae.hugging_face_blocks("decoder.decoder_layers", "decoder"),
        ("decoder.norm", "decoder/norm"),
        ("decoder.head", "decoder/fc"),
    )
    order = (
        f"mask_token {videomae.HUGGING_FACE_ORDER} layernorm encoder_to_decoder decoder"
        " decoder_layers norm head"
    )
    return Weights(rows, order=order, fix=videomae.HUGGING_FACE_QKV)


WEIGHTS = {"official": official(), "transformers": transformers()}
