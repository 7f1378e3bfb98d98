"""The pre-training of Hiera (Ryali et al., 2023), https://arxiv.org/abs/2306.00989.

The encoder sees a part of the mask units, and its last stage keeps the grid of the one before. The
features of all stages are joined. A decoder of plain blocks gets them and a learned token for each
place that is hidden, and restores the first of each two frames. The task is "masked".

Shapes: b batch, k visible and m hidden mask units, t u v grid of units, i j grid of tokens in a
unit, c channels of the decoder, p values of a patch.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxvid.config.values import Count
from jaxvid.layers.position import PositionTable
from jaxvid.layers.transformer import Block, PatchEmbed, Remat, norm, remat
from jaxvid.models import hiera
from jaxvid.models.hiera import EPSILON, Hiera
from jaxvid.ops import masking
from jaxvid.weights.convert import Weights
from jaxvid.weights.names import fixes
from jaxvid.weights.names import hiera as names

XAVIER = nn.initializers.xavier_uniform()
VARIANTS: dict[str, dict] = {
    variant: options | dict(pools=len(options["depths"]) - 2, drop_path=0.0)
    for variant, options in hiera.VARIANTS.items()
}
VARIANTS["test"]["size"] = 64  # so that a tenth of the mask units is more than none
DECODERS = {"test": (16, 1, 2), "mini": (48, 2, 4)}  # channels, blocks and heads; others are alike
SIDE = 2  # patches of a unit in height and width


class Decoder(nn.Module):
    """Restores hidden patches: features of all stages (b, k, i, j, ...) -> (b, 4 m, p), float32.

    Attributes:
      grid: Grid (t, u, v) of the mask units.
      values: Number p of values of a patch.
      width, depth, heads: Channels, blocks and attention heads.
      remat: See `Hiera`.
      dtype: Compute dtype.
    """

    grid: tuple[int, int, int]
    values: int
    width: int
    depth: int
    heads: int
    remat: Remat = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, stages, visible, hidden, *, train):
        init: Any = dict(kernel_init=XAVIER, dtype=self.dtype)
        x = stages[-1]
        for s, finer in enumerate(y for y in stages if y.shape[2] > SIDE):
            side = finer.shape[2] // SIDE
            join = PatchEmbed(x.shape[-1], (1, side, side), dtype=self.dtype, name=f"fusion{s}")
            x = x + join(finer)
        x = norm("encoder_norm", self.dtype, EPSILON)(x)
        x = nn.Dense(self.width, **init, name="embed")(x)
        x = self.with_hidden(x, visible, hidden)
        t, u, v = self.grid
        x = rearrange(x, "b (t u v) i j c -> b (t u i v j) c", t=t, u=u)
        grid = t, SIDE * u, SIDE * v
        x = x + PositionTable(grid, self.width, dtype=self.dtype, name="pos_embed")()
        block = partial(remat(Block, self.remat), self.heads, epsilon=EPSILON, **init)
        for i in range(self.depth):
            x = block(name=f"block{i}")(x, train)
        patches = masking.patches_of(hidden, self.grid, (1, SIDE, SIDE))
        x = jnp.take_along_axis(x, patches[..., None], 1)
        x = norm("norm", self.dtype, EPSILON)(x)
        return nn.Dense(self.values, **init, name="fc")(x).astype(jnp.float32)

    def with_hidden(self, x, visible, hidden):
        """Add the learned token at all places of hidden units, in the order of the units."""
        init = nn.initializers.truncated_normal(0.02)
        token = self.param("mask_token", init, (1, 1, self.width)).astype(self.dtype)
        shape = (*hidden.shape, *x.shape[2:])
        x = jnp.concatenate([x, jnp.broadcast_to(token[:, :, None, None], shape)], 1)
        order = jnp.argsort(jnp.concatenate([visible, hidden], 1))
        return jnp.take_along_axis(x, order[:, :, None, None, None], 1)


class MaskedAutoEncoder(nn.Module):
    """video (b, T, H, W, 3), numbers of units (b, k) and (b, m) -> hidden patches (b, 4 m, p)."""

    backbone: Hiera
    decoder: Decoder

    def __call__(self, video, visible, hidden, *, train):
        stages = self.backbone(video, visible, train=train)
        return self.decoder(stages, visible, hidden, train=train)


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, of which half is visible."""
    net = backbone(variant)
    t, h, w = net.grid
    numbers = jax.ShapeDtypeStruct((2, t * h * w // net.unit**2 // 2), jnp.int32)
    return hiera.example_of(net) | {"visible": numbers, "hidden": numbers}


def backbone(variant, **overrides):
    return Hiera(**{**VARIANTS[variant], **overrides})


def build(
    variant,
    *,
    decoder_width: Count | None = None,
    decoder_depth: Count | None = None,
    decoder_heads: Count | None = None,
    dtype=jnp.float32,
    **overrides,
):
    """Return the encoder with its decoder; other arguments are those of `Hiera`.

    Args:
      decoder_width: Channels of the decoder. None is that of the variant, 512 in published ones.
      decoder_depth: Blocks of the decoder. None is that of the variant, 8 in published ones.
      decoder_heads: Attention heads of the decoder. None is that of the variant, 16 in published
        ones.
    """
    net = backbone(variant, dtype=dtype, **overrides)
    width, depth, heads = DECODERS.get(variant, (512, 8, 16))
    t, h, w = net.grid
    decoder = Decoder(
        grid=(t, h // net.unit, w // net.unit),
        values=3 * net.stride**2,
        width=decoder_width or width,
        depth=decoder_depth or depth,
        heads=decoder_heads or heads,
        remat=net.remat,
        dtype=dtype,
    )
    return MaskedAutoEncoder(net, decoder)


# "decoder_blocks.0.mlp.fc1.weight" -> "decoder/block0/mlp/fc1/kernel"
ROWS = (
    *names.BACKBONE,
    ("multi_scale_fusion_heads.{s}", "decoder/fusion{s}"),
    ("encoder_norm", "decoder/encoder_norm"),
    ("mask_token", "decoder/mask_token"),
    ("decoder_pos_embed", "decoder/pos_embed/table"),
    ("decoder_embed", "decoder/embed"),
    ("decoder_blocks.{i}", "decoder/block{i}"),
    ("decoder_norm", "decoder/norm"),
    ("decoder_pred", "decoder/fc"),
)
FIX = fixes.without_batch("(decoder_pos_embed|pos_embed_(spatial|temporal))")
WEIGHTS = {"official": Weights(ROWS, order=names.ORDER, adapt=names.resize, fix=FIX)}
