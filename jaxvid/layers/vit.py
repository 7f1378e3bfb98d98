"""The plain vision transformer over space and time, in which all tokens of a clip attend to all.

Shapes: b batch, T H W pixels, t h w grid of tokens, n tokens of a sequence, c channels.
"""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Count, NonNegative, Positive, Rate
from jaxvid.layers.position import check_clip
from jaxvid.layers.transformer import Biases, Block, PatchEmbed, Remat, lecun_normal, norm, remat
from jaxvid.ops.position import resized, sine_cosine


class ViT(nn.Module):
    """video (b, T, H, W, 3) -> tokens of the last block (b, t, h, w, c), with fixed positions.

    Attributes:
      width: Channels of the tokens.
      depth: Number of blocks.
      heads: Number of attention heads.
      frames: Number of frames of a clip.
      size: Height and width of the frames, in pixels.
      patch: Pixels that a token spans in time, height and width.
      mlp_ratio: Channels between the layers of an MLP, as a multiple of those of the tokens.
      qkv_bias: Which of queries, keys and values have a bias, as in "qv".
      epsilon: Number that the layer normalizations add to the variance.
      final_norm: Normalize the result, as in pre-training and in detection.
      resize: Take clips of any size: the table of positions, which is that of `frames` and `size`,
        is resized to each, linearly in time and by bicubic interpolation in space. Without it, a
        clip of another size is an error.
      drop_path: Probability of skipping a residual branch in the last block in training; it grows
        linearly from 0 in the first.
      remat: Activations that the backward pass computes again, which saves memory and makes
        training slower: False for none, True for those of whole blocks, "dots" for all but the
        results of linear layers.
      init_std: Standard deviation of the initial kernels of the blocks. 0 draws each kernel with
        the variance 1 / inputs, so that signals keep their size, which narrow networks need.
      kernel_init: Another initializer of these kernels, as in pre-training.
      dtype: compute dtype; parameters, softmax and normalization statistics stay float32.
    """

    width: Count
    depth: Count
    heads: Count
    frames: Count = 16
    size: Count = 224
    patch: tuple[Count, Count, Count] = (2, 16, 16)
    mlp_ratio: Positive = 4.0
    qkv_bias: Biases = "qv"
    epsilon: Positive = 1e-6
    final_norm: bool = False
    resize: bool = False
    drop_path: Rate = 0.0
    remat: Remat = False
    init_std: NonNegative = 0.02
    kernel_init: Any = None
    dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        return self.patch[-1]

    @property
    def grid(self) -> tuple[int, int, int]:
        """The grid (t, h, w) of the tokens of a clip of `frames` and `size`."""
        a, i, j = self.patch
        return -(-self.frames // a), -(-self.size // i), -(-self.size // j)

    @nn.compact
    def __call__(self, video: jax.Array, kept: jax.Array | None = None, *, train: bool):
        """Compute the tokens.

        Args:
          video: (b, T, H, W, 3), normalized.
          kept: (b, n), numbers of the tokens that go through the blocks, as in masked
            pre-training; None for all.
          train: Skip branches at random.

        Returns:
          (b, t, h, w, c); with `kept`, (b, n, c).

        Raises:
          UserError: the clip has another size than `frames` and `size`, without `resize`.
        """
        if not self.resize:
            check_clip(video, self.size, self.frames)
        x = PatchEmbed(self.width, self.patch, dtype=self.dtype, name="patch_embed")(video)
        _, *grid, _ = x.shape
        x = x.reshape(len(x), -1, self.width) + self._positions(*grid)
        if kept is not None:
            x = jnp.take_along_axis(x, kept[..., None], 1)
        init = nn.initializers.truncated_normal(self.init_std) if self.init_std else lecun_normal
        block = partial(
            remat(Block, self.remat),
            self.heads,
            qkv_bias=self.qkv_bias,
            mlp_ratio=self.mlp_ratio,
            epsilon=self.epsilon,
            kernel_init=self.kernel_init or init,
            dtype=self.dtype,
        )
        for i, rate in enumerate(np.linspace(0, self.drop_path, self.depth)):
            x = block(drop_path=float(rate), name=f"block{i}")(x, train)
        if self.final_norm:
            x = norm("norm", self.dtype, self.epsilon)(x)
        return x.reshape(len(x), *grid, self.width) if kept is None else x

    def _positions(self, t: int, h: int, w: int) -> jax.Array:
        """Return the fixed table (n, c) of a grid, resized if it is not that of the model."""
        table = sine_cosine(math.prod(self.grid), self.width)
        if (t, h, w) != self.grid:
            table = resized(table.reshape(*self.grid, -1), (t, h, w)).reshape(-1, self.width)
        return jnp.asarray(table, self.dtype)
