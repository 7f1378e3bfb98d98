"""Augmentation of videos on the device: pure functions of a random key, one draw a clip.

Frames of a clip share what is drawn, so motion is kept.

Shapes: b batch, v views, t frames, h height, w width, c channels; pixels are 0..255 until they are
normalised.
"""

from collections.abc import Sequence

import dm_pix as pix
import jax
import jax.numpy as jnp

Range = Sequence[float]  # of two numbers


def flip(rng, video, probability: float, flow: bool = False):
    """Mirror clips left to right.

    Args:
      video: (b, v, t, h, w, c).
      flow: the channels are optical flow, x and y in turn: a mirror inverts x.

    Returns:
      The video, and which clips were mirrored, bool (b,).
    """
    chosen = jax.random.bernoulli(rng, probability, (len(video),))
    mirrored = pix.flip_left_right(video)
    if flow:
        is_x = jnp.arange(video.shape[-1]) % 2 == 0
        mirrored = jnp.where(is_x, 255 - mirrored, mirrored)
    return jnp.where(_wide(chosen, video), mirrored, video), chosen


def random_resized_crop(rng, video, area: Range, aspect: Range = (3 / 4, 4 / 3)):
    """Resize a random box of the frame to the whole frame, bilinear (Szegedy et al., 2015).

    Args:
      video: float (b, v, t, h, w, c).
      area: range of the box's share of the frame, drawn uniformly.
      aspect: range of its width over height, drawn log-uniformly; a box that does not fit is cut.
    """
    h, w = video.shape[-3:-1]

    def crop(key, clip):
        k_area, k_aspect, k_at = jax.random.split(key, 3)
        ratio = _log_uniform(k_aspect, aspect)
        share = jax.random.uniform(k_area, minval=area[0], maxval=area[1])
        whole = jnp.array([h, w])
        size = jnp.minimum(jnp.sqrt(share * h * w * jnp.array([1 / ratio, ratio])), whole)
        start = jax.random.uniform(k_at, (2,)) * (whole - size)
        scale = whole / size
        return jax.image.scale_and_translate(
            clip, clip.shape, (2, 3), scale, -start * scale, "linear", antialias=False
        )

    return jax.vmap(crop)(jax.random.split(rng, len(video)), video)


def color_jitter(rng, video, strengths: Sequence[float]):
    """Change brightness, contrast, saturation and hue, in this order.

    Args:
      video: float RGB (b, v, t, h, w, 3), 0..255.
      strengths: of each: factors are 1 - s .. 1 + s, hue turns by -s .. s of the circle; missing
        ones are 0.
    """
    strengths = (*strengths, *[0.0] * (4 - len(strengths)))
    drawn = jax.random.uniform(rng, (4, len(video)), minval=-1.0) * jnp.array(strengths)[:, None]
    brightness, contrast, saturation, hue = (_wide(values, video) for values in drawn)
    video = jnp.clip(video / 255 * (1 + brightness), 0, 1)
    if strengths[1]:
        video = jnp.clip(pix.adjust_contrast(video, 1 + contrast), 0, 1)
    if strengths[2]:
        video = pix.adjust_saturation(video, 1 + saturation[..., 0])
    if strengths[3]:
        video = pix.adjust_hue(video, hue[..., 0])
    return video * 255


def random_erasing(
    rng, video, probability: float, area: Range = (0.02, 1 / 3), aspect: Range = (0.3, 1 / 0.3)
):
    """Blank one rectangle of a clip: 0, the mean pixel (Zhong et al., 2017).

    Args:
      video: normalised, (b, ..., h, w, c).
      area: range of the rectangle's share of the frame.
      aspect: range of its height over width, drawn log-uniformly.
    """
    h, w = video.shape[-3:-1]

    def rectangle(key):
        k_do, k_area, k_aspect, k_at = jax.random.split(key, 4)
        share = jax.random.uniform(k_area, minval=area[0], maxval=area[1]) * h * w
        ratio = _log_uniform(k_aspect, aspect)
        # Upstream draws again until the rectangle fits; clipping keeps one draw and static shapes.
        size = jnp.minimum(jnp.sqrt(share * jnp.array([ratio, 1 / ratio])), jnp.array([h, w]))
        start = jax.random.uniform(k_at, (2,)) * (jnp.array([h, w]) - size)
        inside, _ = _rectangle(start, start + size, h, w)
        return inside & jax.random.bernoulli(k_do, probability)

    inside = jax.vmap(rectangle)(jax.random.split(rng, len(video)))
    inside = inside.reshape(len(video), *[1] * (video.ndim - 4), h, w, 1)
    return jnp.where(inside, 0.0, video)


def blend(rng, video, target, mixup: float, cutmix: float):
    """Mixup, cutmix, or with both one of the two, drawn once a batch (Zhang et al. 2017; Yun 2019).

    Clip i is blended with clip b - 1 - i.

    Args:
      video: normalised, (b, ..., h, w, c).
      target: (b, classes).
      mixup, cutmix: concentration of the Beta that draws the share of the clip itself; 0 is off.
    """
    # Partners pair by flipping the batch: a random permutation would all-gather it.
    k_kind, k_mix, k_cut, k_box = jax.random.split(rng, 4)
    other, other_target = jnp.flip(video, 0), jnp.flip(target, 0)
    h, w = video.shape[-3:-1]

    def mix():
        share = jax.random.beta(k_mix, mixup, mixup)
        return share * video + (1 - share) * other, share

    def cut():
        share = jax.random.beta(k_cut, cutmix, cutmix)
        box = jnp.sqrt(1 - share) * jnp.array([h, w])
        center = jax.random.uniform(k_box, (2,)) * jnp.array([h, w])
        inside, area = _rectangle(center - box / 2, center + box / 2, h, w)
        return jnp.where(inside[..., None], other, video), 1 - area / (h * w)

    if mixup and cutmix:
        video, share = jax.lax.cond(jax.random.bernoulli(k_kind), mix, cut)
    else:
        video, share = mix() if mixup else cut()
    return video, share * target + (1 - share) * other_target


def _log_uniform(rng, bounds: Range):
    low, high = jnp.log(jnp.array(bounds))
    return jnp.exp(jax.random.uniform(rng, minval=low, maxval=high))


def _rectangle(start, stop, h, w):
    """(h, w) bool, true inside [start, stop) rounded to whole pixels, and its pixel count."""
    (y0, x0), (y1, x1) = jnp.round(start), jnp.round(stop)
    y, x = jnp.arange(h)[:, None], jnp.arange(w)
    inside = (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
    return inside, inside.sum()


def _wide(values, video):
    """(b,) -> (b, 1, 1, ...), to go with a video."""
    return values.reshape(-1, *[1] * (video.ndim - 1))
