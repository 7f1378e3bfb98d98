"""Parts of vision and text transformers, in one vocabulary for all families.

The parameters of a block are below "norm1", "attn/qkv", "attn/proj", "norm2", "mlp/fc1" and
"mlp/fc2", as in timm (github.com/huggingface/pytorch-image-models); those of layer scale are
"ls1/gamma" and "ls2/gamma". Rules for sharding, learning rates and weight decay rely on these
names. The rename tables of the families map the names of published files to them.

Shapes: b batch, T H W pixels, t h w tokens, n tokens of a sequence, c channels, g heads, d channels
of a head; "..." are any axes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxvid.errors import UserError
from jaxvid.ops.attention import attention

Init = nn.initializers.Initializer
Ints = tuple[int, ...]
Biases = Literal["qkv", "qv", ""]
Remat = Literal[False, True, "dots"]
normal = nn.initializers.truncated_normal(0.02)
lecun_normal = nn.initializers.lecun_normal()
# The backward pass computes it again from its input. XLA would store two more arrays for each.
exact_gelu = jax.checkpoint(partial(nn.gelu, approximate=False))
tanh_gelu = jax.checkpoint(partial(nn.gelu, approximate=True))  # by a hyperbolic tangent


class Qkv(nn.Module):
    """Queries, keys and values in one linear layer: (..., n, c) -> three of (..., n, g, d).

    The kernel is a matrix, as published. It is reshaped into heads before the product with the
    tokens: if devices share the heads of a layer, the matrix is gathered, and not the tokens.

    Attributes:
      heads: Number of heads g.
      width: Channels g d of the result; 0 means as many as the input has.
      use_bias: Which of the three have a bias: "qkv", "qv", or "" for none. A bias of the keys
        changes no attention weight, so some published models have none.
      kernel_init: Initializer of the kernel.
      dtype: Compute dtype.
    """

    heads: int
    width: int = 0
    use_bias: Biases = "qkv"
    kernel_init: Init = normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        c, width = x.shape[-1], self.width or x.shape[-1]
        check_heads(width, self.heads)
        kernel = self.param("kernel", self.kernel_init, (c, 3 * width)).astype(self.dtype)
        kernel = rearrange(kernel, "c (s g d) -> c s g d", s=3, g=self.heads)
        y = jnp.einsum("...nc,csgd->...nsgd", x.astype(self.dtype), kernel)
        if self.use_bias:
            size = (len(self.use_bias) * width,)
            bias = self.param("bias", nn.initializers.zeros, size).astype(self.dtype)
            if self.use_bias == "qv":
                bias = jnp.insert(bias, width, jnp.zeros(width, self.dtype))
            y = y + bias.reshape(y.shape[-3:])
        q, k, v = rearrange(y, "... n s g d -> s ... n g d")
        return q, k, v


class Attention(nn.Module):
    """Multi-head self-attention: (..., n, c) -> the same.

    Attributes:
      heads: Number of heads.
      qkv_bias: Which of queries, keys and values have a bias, see `Qkv`.
      attn_dropout: Dropout rate of the attention weights in training.
      dropout: Dropout rate of the result in training.
      kernel_init: Initializer of the kernels.
      dtype: Compute dtype.
    """

    heads: int
    qkv_bias: Biases = "qkv"
    attn_dropout: float = 0.0
    dropout: float = 0.0
    kernel_init: Init = normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, attend: Callable = attention, **options: Any
    ) -> jax.Array:
        """Apply `attend` with its keyword arguments, such as a bias or a mask."""
        init: Any = dict(kernel_init=self.kernel_init, dtype=self.dtype)
        if self.attn_dropout and train:
            options["drop"] = nn.Dropout(self.attn_dropout, deterministic=False)
        q, k, v = Qkv(self.heads, use_bias=self.qkv_bias, **init, name="qkv")(x)
        y = rearrange(attend(q, k, v, **options), "... n g d -> ... n (g d)")
        y = nn.Dense(x.shape[-1], **init, name="proj")(y)
        return nn.Dropout(self.dropout, deterministic=not train)(y)


class CrossAttention(nn.Module):
    """Multi-head attention of tokens to others: (..., n, c) and (..., m, e) -> (..., n, c).

    Attributes:
      heads: Number of heads.
      qkv_bias: Queries, keys and values have biases.
      kernel_init: Initializer of the kernels.
      proj_init: Initializer of the kernel of the last layer; None means the same.
      dtype: Compute dtype.
    """

    heads: int
    qkv_bias: bool = True
    kernel_init: Init = normal
    proj_init: Init | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, others: jax.Array, **options: Any) -> jax.Array:
        """Apply `attention` with its keyword arguments, such as a mask."""
        c = x.shape[-1]
        check_heads(c, self.heads)
        linear = partial(nn.Dense, dtype=self.dtype, kernel_init=self.kernel_init)
        q = linear(c, use_bias=self.qkv_bias, name="q")(x)
        q = rearrange(q, "... n (g d) -> ... n g d", g=self.heads)
        kv = linear(2 * c, use_bias=self.qkv_bias, name="kv")(others)
        k, v = rearrange(kv, "... m (s g d) -> s ... m g d", s=2, g=self.heads)
        y = rearrange(attention(q, k, v, **options), "... n g d -> ... n (g d)")
        return linear(c, kernel_init=self.proj_init or self.kernel_init, name="proj")(y)


def check_heads(width: int, heads: int) -> None:
    """Raise a UserError if the channels of tokens cannot be divided among heads."""
    if width % heads:
        raise UserError(
            f"{width} channels cannot be divided among {heads} heads: change the heads or the"
            " width of config.model"
        )


class Mlp(nn.Module):
    """Two linear layers: (..., c) -> (..., ratio c) -> (..., width).

    Attributes:
      ratio: Channels between the layers, as a multiple of those of the input.
      activation: Function between the layers.
      dropout: Dropout rate after each layer in training.
      kernel_init: Initializer of the kernels.
      dtype: Compute dtype.
      width: Channels of the result; 0 means as many as the input has.
    """

    ratio: float = 4.0
    activation: Callable = exact_gelu
    dropout: float = 0.0
    kernel_init: Init = normal
    dtype: Any = jnp.float32
    width: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        dense = partial(nn.Dense, dtype=self.dtype, kernel_init=self.kernel_init)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        c = x.shape[-1]
        y = drop(self.activation(dense(round(self.ratio * c), name="fc1")(x)))
        return drop(dense(self.width or c, name="fc2")(y))


class LayerScale(nn.Module):
    """Multiplies each channel by a learned factor (Touvron et al., 2021): (..., c) -> the same.

    https://arxiv.org/abs/2103.17239

    Attributes:
      start: Initial value of the factors.
      dtype: Compute dtype.
    """

    start: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        gamma = self.param("gamma", nn.initializers.constant(self.start), (x.shape[-1],))
        return x * gamma.astype(self.dtype)


class Block(nn.Module):
    """Attention and an MLP, each on a normalized residual branch: (b, ..., c) -> the same.


    Attributes:
      heads: Number of attention heads.
      causal: Hide from each token those that follow it.
      qkv_bias: Which of queries, keys and values have a bias, see `Qkv`.
      mlp_ratio: Channels between the layers of the MLP, as a multiple of those of the tokens.
      activation: Function between the layers of the MLP.
      epsilon: Number that the layer normalizations add to the variance.
      layer_scale: Initial value of the learned factors of each branch; 0 means no such factors.
      drop_path: Probability of skipping a residual branch of a sample in training.
      dropout: Dropout rate after each linear layer, except qkv, in training.
      attn_dropout: Dropout rate of the attention weights in training.
      kernel_init: Initializer of the kernels.
      dtype: Compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    heads: int
    causal: bool = False
    qkv_bias: Biases = "qkv"
    mlp_ratio: float = 4.0
    activation: Callable = exact_gelu
    epsilon: float = 1e-5
    layer_scale: float = 0.0
    drop_path: float = 0.0
    dropout: float = 0.0
    attn_dropout: float = 0.0
    kernel_init: Init = normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, *context: jax.Array) -> jax.Array:
        """Apply both branches.

        Args:
          x: Tokens.
          train: Use dropout.
          *context: What `attend` of a family needs beside the tokens, such as their positions.
        """
        axes = tuple(range(1, x.ndim))
        drop = nn.Dropout(self.drop_path, broadcast_dims=axes, deterministic=not train)
        options = self.mlp_ratio, self.activation, self.dropout, self.kernel_init, self.dtype
        mlp = Mlp(*options, name="mlp")

        def scale(name, y):
            return LayerScale(self.layer_scale, self.dtype, name=name)(y) if self.layer_scale else y

        y = self.attend(self.normalize("norm1", x, train), train, *context)
        x = x + drop(scale("ls1", y))
        y = mlp(self.normalize("norm2", x, train), train)
        return x + drop(scale("ls2", y))

    def normalize(self, name: str, x: jax.Array, train: bool) -> jax.Array:
        """Apply the normalization layer with this name."""
        return norm(name, self.dtype, self.epsilon)(x)

    def attend(self, x: jax.Array, train: bool) -> jax.Array:
        """Exchange features between tokens; parameters are below "attn"."""
        return self.make_attention(Attention)(x, train, causal=self.causal)

    @nn.nowrap
    def make_attention(self, kind: Callable[..., Any], **fields: Any) -> Any:
        """Make the layer "attn", a kind of `Attention`, with the options of the block."""
        dropouts = self.attn_dropout, self.dropout
        options = self.heads, self.qkv_bias, *dropouts, self.kernel_init, self.dtype
        return kind(*options, **fields, name="attn")


class PatchEmbed(nn.Module):
    """Non-overlapping patches, each mapped to one token: (b, T, H, W, c) -> (b, t, h, w, width).

    It is a strided convolution, computed as one matrix product: much faster under XLA.

    Attributes:
      width: Channels of the tokens.
      patch: Pixels that a token spans, in (T, H, W) or, frame by frame, in (H, W).
      pad: Add zeros at the end of the video until patches fit. If False, a video that patches do
        not fit is an error.
    """

    width: int
    patch: Ints
    use_bias: bool = True
    kernel_init: Init = lecun_normal
    dtype: Any = jnp.float32
    pad: bool = False

    @nn.compact
    def __call__(self, video: jax.Array) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (*self.patch, video.shape[-1], self.width))
        a, i, j = (1, *self.patch)[-3:]
        t, height, width = video.shape[1:4]
        if not self.pad and (t % a or height % i or width % j):
            raise UserError(
                f"patches of {a} x {i} x {j} (frames, height, width) do not fit into clips of {t}"
                f" frames of {height} x {width} pixels: change the frames or the size in"
                " config.model and config.data.recipe to multiples of the patch"
            )
        x = pad_to_multiple(video.astype(self.dtype), (a, i, j))
        x = rearrange(x, "b (t a) (h i) (w j) c -> b t h w (a i j c)", a=a, i=i, j=j)
        x = x @ kernel.reshape(-1, self.width).astype(self.dtype)
        if self.use_bias:
            x = x + self.param("bias", nn.initializers.zeros, (self.width,)).astype(self.dtype)
        return x


def remat(block: Callable[..., nn.Module], policy: Remat) -> Callable[..., nn.Module]:
    """Return the class of a block with the activations that `policy` stores for the backward pass.

    Args:
      block: Class of a module whose call takes the tokens and `train`.
      policy: False stores all activations, and True only the input of the block: the backward pass
        computes the block again. "dots" also stores the results of the linear layers, so that
        only attention, normalizations and activation functions are computed again.
    """
    if not policy:
        return block
    stored = jax.checkpoint_policies.dots_with_no_batch_dims_saveable if policy == "dots" else None
    return nn.remat(block, static_argnums=(2,), policy=stored)


def norm(name: str | None, dtype: Any, epsilon: float = 1e-5) -> nn.Module:
    """Make a layer normalization."""
    return nn.LayerNorm(epsilon=epsilon, dtype=dtype, name=name)


def pad_to_multiple(x: jax.Array, size: Ints) -> jax.Array:
    """Add zeros at the end of t, h and w of (b, t, h, w, c) until each is a multiple of `size`."""
    pads = [(0, -g % s) for g, s in zip(x.shape[1:4], size, strict=True)]
    return jnp.pad(x, [(0, 0), *pads, (0, 0)]) if any(p for _, p in pads) else x
