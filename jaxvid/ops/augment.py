"""Augmentation of videos on the device: pure functions of a random key, one draw a clip.

Frames of a clip share what is drawn, so motion is kept.

Shapes: b batch, v views, t frames, h height, w width, c channels; pixels are 0..255 until they are
normalized.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import dm_pix as pix
import jax
import jax.numpy as jnp

from jaxvid.config.values import Natural, NonNegative, Probability, ShareRange

Range = Sequence[float]  # of two numbers
Batch = dict[str, jax.Array]


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random changes of the clips of a batch in training. By default, all are off.

    Attributes:
      flip: Probability of mirroring a clip left to right.
      flip_labels: Pairs of classes that are exchanged when a clip is mirrored, such as those with
        "left" and "right" in Something-Something.
      flow: Whether the channels are optical flow, alternating x and y. If a clip is mirrored, x is
        then inverted.
      crop: Smallest and largest share of the frame that a random crop covers; () turns it off. It
        is for data that is not cropped yet. Data recipes already crop.
      color: Strengths of random changes of (brightness, contrast, saturation, hue); () turns it
        off.
      erasing: Probability of blanking one rectangle, the same in all frames (Zhong et al. 2017).
      mixup: Alpha of mixup, the concentration of the Beta distribution of the mixing ratio (Zhang
        et al. 2017). 0 turns it off. If `cutmix` is also given, one of the two is drawn at random
        for each batch.
      cutmix: Alpha of cutmix, the concentration of the Beta distribution of the mixing ratio (Yun
        et al. 2019). 0 turns it off.
    """

    flip: Probability = 0.0
    flip_labels: tuple[tuple[Natural, Natural], ...] = ()
    flow: bool = False
    crop: ShareRange | tuple[()] = ()
    color: tuple[NonNegative, ...] = ()
    erasing: Probability = 0.0
    mixup: NonNegative = 0.0
    cutmix: NonNegative = 0.0

    @property
    def active(self) -> list[str]:
        """The names of the changes that are on."""
        names = ("flip", "crop", "color", "erasing", "mixup", "cutmix")
        return [name for name in names if getattr(self, name)]

    def before(self, rng: jax.Array, batch: Batch, num_classes: int) -> Batch:
        """Mirror, crop and recolor `video` (b, v, t, h, w, c), 0..255, before it is normalized.

        A mirror also changes `label`, classes (b,) or 0/1 (b, num_classes), and `label_mask`.
        """
        keys = _keys(rng)
        if self.flip:
            video, mirrored = flip(keys["flip"], batch["video"], self.flip, self.flow)
            batch = batch | {"video": video}
            if self.flip_labels:
                batch = batch | self._swapped(batch, mirrored, num_classes)
        if self.crop or self.color:
            video = batch["video"].astype(jnp.float32)
            video = random_resized_crop(keys["crop"], video, self.crop) if self.crop else video
            video = color_jitter(keys["color"], video, self.color) if self.color else video
            batch = batch | {"video": video}
        return batch

    def after(self, rng: jax.Array, batch: Batch) -> Batch:
        """Erase and mix `video`, once it is normalized; mixing also changes `target`.

        A sample whose partner is masked, or a class that is unknown of it, is masked as well.
        """
        keys = _keys(rng)
        if self.erasing:
            batch = batch | {"video": random_erasing(keys["erase"], batch["video"], self.erasing)}
        if self.mixup or self.cutmix:
            video, target = blend(
                keys["mix"], batch["video"], batch["target"], self.mixup, self.cutmix
            )
            known = {key: batch[key] for key in ("mask", "label_mask") if key in batch}
            known = {key: x * jnp.flip(x, 0) for key, x in known.items()}
            batch = batch | {"video": video, "target": target} | known
        return batch

    def _swapped(self, batch: Batch, mirrored: jax.Array, num_classes: int) -> Batch:
        order = list(range(num_classes))
        for a, b in self.flip_labels:
            order[a], order[b] = b, a
        swap = jnp.array(order)
        label = batch["label"]
        if label.ndim == 1:
            return {"label": jnp.where(mirrored, swap[label], label)}
        columns = {key: batch[key] for key in ("label", "label_mask") if key in batch}
        return {k: jnp.where(mirrored[:, None], x[:, swap], x) for k, x in columns.items()}


UNCHANGED = Augment()


def _keys(rng: jax.Array) -> dict[str, jax.Array]:
    """Return a key for each change. `before` and `after` get the same `rng`, so both split it."""
    names = ("flip", "mix", "erase", "crop", "color")
    return dict(zip(names, jax.random.split(rng, len(names)), strict=True))


def normalize(pixels, mean: Sequence[float], std: Sequence[float]):
    """Return pixels 0..255 less `mean`, divided by `std`, one for each channel or one for all."""
    return (pixels.astype(jnp.float32) - jnp.array(mean)) / jnp.array(std)


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
      video: normalized, (b, ..., h, w, c).
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
      video: normalized, (b, ..., h, w, c).
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
