"""RoIAlign (He et al., 2017, Mask R-CNN): features of boxes, each resampled to the same grid.

Shapes: b batch, n boxes of a picture, h height, w width, c channels, s bins along a side.
"""

import jax.numpy as jnp


def roi_align(features, boxes, size: int, scale: float = 1.0):
    """Averages over the bins of boxes, of values interpolated bilinearly.

    As MMCV computes it with aligned=True and sampling_ratio=0: pixel centers are at halves; a bin
    of a box is sampled at as many points along a side as it is long, rounded up; beyond one pixel
    outside of the picture samples are 0. A box without width or height gives zeros.

    A bin is a weighted sum of pixels, and its weights a product of those along each side: so all
    bins come from one matrix product.

    Args:
      features: (b, h, w, c).
      boxes: (b, n, 4), x1 y1 x2 y2.
      size: bins along a side.
      scale: features per unit of `boxes`, such as 1/16.

    Returns:
      (b, n, s, s, c), in the dtype of `features`.
    """
    h, w, _ = features.shape[1:]
    x1, y1, x2, y2 = jnp.moveaxis(boxes.astype(jnp.float32) * scale - 0.5, -1, 0)
    rows = bin_weights(y1, y2 - y1, size, h).astype(features.dtype)
    columns = bin_weights(x1, x2 - x1, size, w).astype(features.dtype)
    weights = jnp.einsum("bnph,bnqw->bnpqhw", rows, columns)
    return jnp.einsum("bnpqhw,bhwc->bnpqc", weights, features)


def bin_weights(start, length, bins: int, pixels: int):
    """Return the weight of each pixel of a line in each bin of an interval.

    Args:
      start, length: of the intervals (...), in pixels; pixel i is at i.

    Returns:
      (..., bins, pixels).
    """
    count = jnp.ceil(length / bins)
    step = length / bins / jnp.maximum(count, 1)
    step = jnp.where(count > 0, step, 1)[..., None]
    first = start[..., None] + (length / bins)[..., None] * jnp.arange(bins) + step / 2
    # Samples are more than half a pixel apart where there are several in a bin. So these, from the
    # first that is inside, are all that may be, however large the box.
    before = jnp.maximum(jnp.ceil((-1 - first) / step), 0)
    sample = before[..., None] + jnp.arange(2 * pixels + 3)
    at = first[..., None] + sample * step[..., None]
    inside = (sample < count[..., None, None]) & (at >= -1) & (at <= pixels)
    near = 1 - jnp.abs(jnp.clip(at, 0, pixels - 1)[..., None] - jnp.arange(pixels))
    weights = jnp.where(inside[..., None], jnp.maximum(near, 0), 0).sum(-2)
    return weights / jnp.maximum(count, 1)[..., None, None]
