"""Key points drawn as pictures on the device: what `data/transforms/heatmap.py` draws in a worker.

Key points are a hundredth of the bytes of their maps, and moving those is what PoseC3D's input
pipeline waits for.

Shapes: m people, t frames, j joints or limbs, h height, w width.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Count, Natural, Positive

FAINTEST = 1e-4  # score below which nothing is drawn


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Settings of heat maps.

    Attributes:
      size: Side of the maps, in pixels.
      sigma: Standard deviation of the Gaussians, in pixels.
      limbs: Pairs of joints to draw as limbs; () draws joints.
    """

    size: Count = 56
    sigma: Positive = 0.6
    limbs: tuple[tuple[Natural, Natural], ...] = ()

    def __call__(self, keypoint):
        """Return the maps (..., t h w j) of key points (..., m t j 3)."""
        return draw(keypoint, self.size, self.size, self.sigma, self.limbs)


POSEC3D = Drawing()


def draw(keypoint, height: int, width: int, sigma: float = 0.6, limbs=()):
    """Gaussians around joints, or around the lines between them.

    Args:
      keypoint: (..., m t j 3), x, y in pixels of the maps and the score; joints and people that
        are missing have score 0.
      height, width: of the maps.
      sigma: of the Gaussian in pixels. It is cut off where x or y differ by three of it.
      limbs: pairs of joints; without any, the joints are drawn.

    Returns:
      (..., t h w j) float32, from 0 to the score: of the joint, or the lower one of both ends.
    """
    start, end = np.array(limbs or [(j, j) for j in range(keypoint.shape[-2])]).T
    a, b = (keypoint[..., joints, :].astype(jnp.float32) for joints in (start, end))
    peak = jnp.minimum(a[..., 2], b[..., 2])
    # A limb of less than a pixel is drawn as the joint where it starts, with its score.
    short = jnp.square(a - b)[..., :2].sum(-1) < 1
    drawn = peak >= FAINTEST
    b = jnp.where(short[..., None], a, b)
    peak = jnp.where(drawn, jnp.where(short, a[..., 2], peak), 0)
    low = jnp.maximum(jnp.trunc(jnp.minimum(a, b) - 3 * sigma), 0)
    high = jnp.trunc(jnp.maximum(a, b) + 3 * sigma) + 1

    def pixels(values):  # (..., m t j) -> (..., m t 1 1 j), to meet (h w 1)
        return values[..., None, None, :]

    x, y = np.arange(width)[:, None], np.arange(height)[:, None, None]
    (x0, x1), (y0, y1) = ([pixels(p[..., k]) for p in (a, b)] for k in (0, 1))
    along_x, along_y = x1 - x0, y1 - y0
    squared = jnp.square(along_x) + jnp.square(along_y)
    share = ((x - x0) * along_x + (y - y0) * along_y) / jnp.where(squared > 0, squared, 1)
    share = jnp.clip(share, 0, 1)
    distance = jnp.square(x - x0 - share * along_x) + jnp.square(y - y0 - share * along_y)
    inside = (x >= pixels(low[..., 0])) & (x < pixels(high[..., 0]))
    inside &= (y >= pixels(low[..., 1])) & (y < pixels(high[..., 1]))
    value = pixels(peak) * jnp.exp(distance * (-0.5 / sigma**2))
    return jnp.where(inside, value, 0).max(-5)  # people may overlap
