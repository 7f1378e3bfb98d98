"""BERT (Devlin et al., 2019) whose last layers also attend to other tokens (Li et al., 2021).

https://arxiv.org/abs/1810.04805, https://arxiv.org/abs/2107.07651

Shapes: b batch, n texts, l tokens of a text, m other tokens, c channels.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxvid.errors import UserError
from jaxvid.layers.transformer import (
    Attention,
    CrossAttention,
    Mlp,
    Remat,
    exact_gelu,
    norm,
    normal,
    remat,
)

EPSILON = 1e-12


class Layer(nn.Module):
    """Attention, cross-attention and an MLP, each normalized after its sum: (b, n, l, c) -> same.

    Attributes:
      heads: Number of attention heads.
      fuses: Has cross-attention to other tokens.
      causal: Hide from each token those that follow it.
      dropout: Dropout rate of attention weights and of the result of each part in training.
      dtype: Compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    heads: int
    fuses: bool = False
    causal: bool = False
    dropout: float = 0.1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train, shown, others: Any = None, others_shown=None):
        """Apply the layer.

        Args:
          x: Tokens of the texts (b, n, l, c).
          train: Use dropout.
          shown: False for padding of the texts (b, n, l).
          others: The tokens of the cross-attention, (b, m, c).
          others_shown: False for their padding (b, m); None if there is no padding.
        """
        drop = nn.Dropout(self.dropout, deterministic=not train)
        attend = Attention(self.heads, "qkv", self.dropout, dtype=self.dtype, name="attn")
        y = attend(x, train, mask=shown[..., None, None, :], causal=self.causal)
        x = norm("norm1", self.dtype, EPSILON)(x + drop(y))
        if self.fuses:
            options: dict[str, Any] = {}
            if others_shown is not None:
                options["mask"] = others_shown[:, None, None]
            if self.dropout and train:
                options["drop"] = nn.Dropout(self.dropout, deterministic=False)
            attend = CrossAttention(self.heads, dtype=self.dtype, name="cross_attn")
            # The texts of a video are queries of the same keys, which are computed once.
            y = attend(rearrange(x, "b n l c -> b (n l) c"), others, **options)
            x = norm("norm_cross", self.dtype, EPSILON)(x + drop(y.reshape(x.shape)))
        y = Mlp(dtype=self.dtype, name="mlp")(x)
        return norm("norm2", self.dtype, EPSILON)(x + drop(y))


class Bert(nn.Module):
    """Token ids (b, n, l), zeros for padding, and others (b, m, c) -> tokens (b, n, l, c).

    Attributes:
      vocabulary: Number of token ids.
      length: Largest number of tokens l.
      width: Channels c of the tokens.
      depth: Number of layers.
      fusion: Number of the first layer that attends to other tokens.
      heads: Attention heads.
      causal: Hide from each token those that follow it.
      dropout: Dropout rate in training.
      remat: Activations that are computed again in the backward pass, see `transformer.remat`.
      dtype: Compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    vocabulary: int = 30522
    length: int = 512
    width: int = 768
    depth: int = 12
    fusion: int = 9
    heads: int = 12
    causal: bool = False
    dropout: float = 0.1
    remat: Remat = False
    dtype: Any = jnp.float32

    def setup(self):
        table = partial(nn.Embed, features=self.width, dtype=self.dtype, embedding_init=normal)
        self.words = table(self.vocabulary)
        self.positions = table(self.length)
        self.types = table(2)
        self.norm = norm(None, self.dtype, EPSILON)
        self.drop = nn.Dropout(self.dropout)
        layer = partial(
            remat(Layer, self.remat),
            self.heads,
            causal=self.causal,
            dropout=self.dropout,
            dtype=self.dtype,
        )
        self.layer = [layer(fuses=i >= self.fusion) for i in range(self.depth)]

    def __call__(self, ids, others, train, others_shown=None):
        """Apply all layers."""
        return self.fuse(self.encode(ids, train), ids, others, train, others_shown)

    def encode(self, ids: jax.Array, train: bool) -> jax.Array:
        """Return the tokens (b, n, l, c) before the layers that attend to other tokens.

        Raises:
          UserError: there are more tokens than positions.
        """
        if ids.shape[-1] > self.length:
            raise UserError(f"texts have at most {self.length} tokens, not {ids.shape[-1]}")
        x = self.words(ids) + self.types.embedding[0].astype(self.dtype)
        x = x + self.positions.embedding[: ids.shape[-1]].astype(self.dtype)
        x = self.drop(self.norm(x), deterministic=not train)
        for layer in self.layer[: self.fusion]:
            x = layer(x, train, ids > 0)
        return x

    def fuse(self, x, ids, others, train, others_shown=None) -> jax.Array:
        """Apply the layers that attend to other tokens (b, m, c) to the tokens of `encode`."""
        for layer in self.layer[self.fusion :]:
            x = layer(x, train, ids > 0, others, others_shown)
        return x


class Decoder(Bert):
    """A causal BERT that predicts the next token: -> logits (b, n, l, vocabulary), float32.

    The embeddings of the words are also the weights of the last linear layer.
    """

    causal: bool = True
    fusion: int = 0
    depth: int = 3

    def setup(self):
        super().setup()
        self.transform = nn.Dense(self.width, dtype=self.dtype, kernel_init=normal)
        self.transform_norm = norm(None, self.dtype, EPSILON)
        self.bias = self.param("bias", nn.initializers.zeros, (self.vocabulary,))

    def __call__(self, ids, others, train, others_shown=None):
        x = super().__call__(ids, others, train, others_shown)
        x = self.transform_norm(exact_gelu(self.transform(x)))
        return self.words.attend(x).astype(jnp.float32) + self.bias
