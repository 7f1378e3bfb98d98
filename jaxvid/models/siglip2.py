"""SigLIP 2 (Tschannen et al., 2025), https://arxiv.org/abs/2502.14786.

SigLIP with a larger vocabulary. Its NaFlex variants keep the aspect ratio of frames, which are cut
into patches on the host: tokens that are padding are hidden, and the position table is resized to
the grid of each video.

Shapes: b batch, t frames, n patches of a frame, p pixels of a patch, c channels, f features.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxvid.config.values import Count
from jaxvid.errors import UserError
from jaxvid.layers.position import PositionTable
from jaxvid.models import siglip
from jaxvid.models.clip import BY_VARIANT, Text
from jaxvid.models.siglip import LARGE, SO400M, SigLIP

GIANT = dict(width=1536, depth=40, heads=16, mlp_width=6144)
SIZES: dict[str, dict] = {
    "b16": dict(size=224),
    **{f"b16-{size}": dict(size=size) for size in (256, 384, 512)},
    "b32-256": dict(size=256, patch=32),
    **{f"l16-{size}": dict(size=size, **LARGE) for size in (256, 384, 512)},
    **{f"so400m14-{size}": dict(size=size, patch=14, **SO400M) for size in (224, 384)},
    **{f"so400m16-{size}": dict(size=size, **SO400M) for size in (256, 384, 512)},
    **{f"g16-{size}": dict(size=size, **GIANT) for size in (256, 384)},
}
NAFLEX: dict[str, dict] = {
    "test": dict(width=16, depth=2, heads=2, mlp_width=40, patch=4, side=4),
    "b16-naflex": {},
    "so400m16-naflex": SO400M,
}
VARIANTS = SIZES | NAFLEX
# Options of the text towers that differ from those of the vision towers.
TEXT: dict[str, dict] = {name: {} if name[0] != "g" else SO400M for name in VARIANTS}
TEXT["test"] = dict(vocabulary=64, length=8)


class PatchTower(siglip.ImageTower):
    """Patches of frames of any grid: video (b, t, n, p, 3) and grid (b, 2) -> (b, t, 1, 1, f).

    `data.transforms.patches` makes both. The grid has the number of patches in height and width,
    row by row; what comes after them is padding.

    Attributes:
      side: Height and width of the grid of the position table.
    """

    side: Count = 16

    @nn.compact
    def __call__(self, video, grid, *, train):
        n, p = video.shape[2:4]
        if p != self.patch**2:
            raise UserError(
                f"the model takes patches of {self.patch} x {self.patch} pixels, and these have"
                f" {p} pixels: data.recipe.patch in the config must equal model.patch"
            )
        init = nn.initializers.normal(self.width**-0.5)
        size = (1, self.side, self.side)
        table = PositionTable(size, self.width, table_init=init, name="pos_embed")()
        x = rearrange(video, "b t n p c -> b t n (p c)").astype(self.dtype)
        x = nn.Dense(self.width, dtype=self.dtype, name="patch_embed")(x)
        x = x + resized(table, self.side, grid, n).astype(self.dtype)[:, None]
        shown = jnp.arange(n) < grid.prod(-1)[:, None]
        mask = shown[:, None, None, None]  # for all frames, heads and queries
        return self.read_out(self.blocks(x, mask), mask)


def resized(table, side, grid, n):
    """Resize a position table to the grid of each sample, linearly and with antialiasing.

    Args:
      table: (side * side, c), row by row.
      side: Height and width of its grid.
      grid: (b, 2), height and width of the grids.
      n: Number of tokens, of which those beyond the grid get the position of the first.

    Returns:
      (b, n, c).
    """
    height, width = grid[:, :1], grid[:, 1:]
    at = jnp.arange(n) * (jnp.arange(n) < height * width)

    def weights(index, size):  # (b, n) of the new axis, (b, 1) -> (b, n, side)
        scale = (side / size)[..., None]
        center = (index[..., None] + 0.5) * scale - 0.5
        share = 1 - jnp.abs(jnp.arange(side) - center) / jnp.maximum(scale, 1)
        share = jnp.maximum(share, 0)
        return share / share.sum(-1, keepdims=True)

    rows, columns = weights(at // width, height), weights(at % width, width)
    return jnp.einsum("bnh,bnw,hwc->bnc", rows, columns, table.reshape(side, side, -1))


def example(variant):
    """Shapes and dtypes of small inputs, by name: a batch of two, a text for each video."""
    text = jax.ShapeDtypeStruct((2, TEXT[variant].get("length", 64)), jnp.int32)
    net = backbone(variant)
    if variant in SIZES:
        video = jax.ShapeDtypeStruct((2, 4, net.size, net.size, 3), jnp.float32)
        return {"video": video, "text": text}
    video = jax.ShapeDtypeStruct((2, 4, 12, net.patch**2, 3), jnp.float32)
    return {"video": video, "grid": jax.ShapeDtypeStruct((2, 2), jnp.int32), "text": text}


def backbone(variant, **overrides):
    kind = PatchTower if variant in NAFLEX else siglip.VisionTower
    return kind(**{**VARIANTS[variant], **overrides})


def build(variant, *, text: Text = BY_VARIANT, dtype: Any = jnp.float32, **overrides):
    """Return both towers; other arguments are those of the vision tower.

    Args:
      text: Options of the text tower.
    """
    vision = backbone(variant, dtype=dtype, **overrides)
    options = dict(vocabulary=256_000, pad=0) | TEXT[variant]
    return SigLIP(vision, siglip.text_tower(vision, options, text))


# Weights

WEIGHTS = siglip.WEIGHTS
