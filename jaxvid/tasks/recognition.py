"""Clip recognition: one class, or several, for a clip.

Shapes: b batch, v views, t frames, h height, w width, c classes.
"""

from dataclasses import dataclass

import dm_pix as pix
import jax
import jax.numpy as jnp
import optax

from jaxvid.errors import UserError
from jaxvid.metrics.classification import Accuracy, MultiLabelMAP
from jaxvid.ops import losses


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """Softmax over classes, or with `multi_label` one sigmoid a class.

    Attributes:
      mean, std: of the pixel values 0..255, per RGB channel.
      average: over views, "prob" (mean of the softmax, as published) or "score" (of the logits).
      smoothing: label smoothing.
      flip: probability to mirror a clip left to right.
      flip_labels: pairs of classes that a mirror swaps (Something-Something's left and right).
      mixup, cutmix: concentration of the Beta that draws the share of the partner clip; 0 is off.
        With both, each batch draws one of the two (Zhang et al. 2017; Yun et al. 2019).
      erasing: probability to blank one rectangle, the same in all frames (Zhong et al. 2017).

    Raises:
      UserError: another `average`, or `flip_labels` that are no classes.
    """

    num_classes: int
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    multi_label: bool = False
    average: str = "prob"
    smoothing: float = 0.0
    flip: float = 0.0
    flip_labels: tuple[tuple[int, int], ...] = ()
    mixup: float = 0.0
    cutmix: float = 0.0
    erasing: float = 0.0

    def __post_init__(self):
        if self.average not in ("prob", "score"):
            raise UserError(f'config.task.average is prob or score, not "{self.average}"')
        for label in (label for pair in self.flip_labels for label in pair):
            if not 0 <= label < self.num_classes:
                raise UserError(
                    f"config.task.flip_labels: {label} is outside 0..{self.num_classes - 1}"
                )

    def prepare(self, rng, batch, train):  # video uint8 (b, v, t, h, w, 3)
        video, label = batch["video"], batch["label"]
        k_flip, k_mix, k_erase = jax.random.split(rng, 3)
        if train and self.flip:
            video, label = self._flip(k_flip, video, label)
        video = (video.astype(jnp.float32) - jnp.array(self.mean)) / jnp.array(self.std)
        target = label if self.multi_label else jax.nn.one_hot(label, self.num_classes)
        target = target.astype(jnp.float32)
        if self.smoothing and not self.multi_label:
            target = optax.smooth_labels(target, self.smoothing)
        mask = batch["mask"]
        if train and self.erasing:
            video = random_erasing(k_erase, video, self.erasing)
        if train and (self.mixup or self.cutmix):
            video, target = self._mix(k_mix, video, target)
            mask = mask * jnp.flip(mask, 0)  # a skipped sample is no partner either
        return batch | {"video": video, "label": label, "target": target, "mask": mask}

    def inputs(self, batch):
        video = batch["video"]
        return {"video": video.reshape(-1, *video.shape[2:])}

    def loss(self, out, batch):  # out (b v, c)
        rows = jnp.repeat(batch["target"], len(out) // len(batch["target"]), 0)
        mask = jnp.repeat(batch["mask"], len(out) // len(batch["mask"]))
        if self.multi_label:
            return losses.masked_mean(losses.binary_cross_entropy(out, rows), mask), {}
        loss = losses.masked_mean(losses.cross_entropy(out, rows), mask)
        right = (out.argmax(-1) == rows.argmax(-1)).astype(jnp.float32)
        return loss, {"top1": losses.masked_mean(right, mask)}

    def predict(self, out, batch):  # out (b v, c) -> score (b, c)
        squash = jax.nn.sigmoid if self.multi_label else jax.nn.softmax
        views = out.reshape(len(batch["mask"]), -1, self.num_classes)
        if self.average == "prob":
            score = squash(views).mean(1)
        else:
            score = squash(views.mean(1))
        return {"score": score, "label": batch["label"]}

    def metrics(self):
        if self.multi_label:
            return [MultiLabelMAP(self.num_classes)]
        return [Accuracy(self.num_classes)]

    def _flip(self, rng, video, label):
        chosen = jax.random.bernoulli(rng, self.flip, (len(video),))
        mirrored = pix.flip_left_right(video)
        video = jnp.where(chosen.reshape(-1, *[1] * (video.ndim - 1)), mirrored, video)
        if self.flip_labels:
            swap = list(range(self.num_classes))
            for a, b in self.flip_labels:
                swap[a], swap[b] = b, a
            if self.multi_label:
                label = jnp.where(chosen[:, None], label[:, jnp.array(swap)], label)
            else:
                label = jnp.where(chosen, jnp.array(swap)[label], label)
        return video, label

    def _mix(self, rng, video, target):
        # Partners pair by flipping the batch: a random permutation would all-gather it.
        k_kind, k_mix, k_cut, k_box = jax.random.split(rng, 4)
        other, other_target = jnp.flip(video, 0), jnp.flip(target, 0)
        h, w = video.shape[-3:-1]

        def mixup():
            share = jax.random.beta(k_mix, self.mixup, self.mixup)
            return share * video + (1 - share) * other, share

        def cutmix():
            share = jax.random.beta(k_cut, self.cutmix, self.cutmix)
            box = jnp.sqrt(1 - share) * jnp.array([h, w])
            center = jax.random.uniform(k_box, (2,)) * jnp.array([h, w])
            inside, area = _rectangle(center - box / 2, center + box / 2, h, w)
            return jnp.where(inside[..., None], other, video), 1 - area / (h * w)

        if self.mixup and self.cutmix:
            video, share = jax.lax.cond(jax.random.bernoulli(k_kind), mixup, cutmix)
        else:
            video, share = mixup() if self.mixup else cutmix()
        return video, share * target + (1 - share) * other_target


build = Recognition


def random_erasing(rng, video, probability, area=(0.02, 1 / 3), aspect=(0.3, 1 / 0.3)):
    """Blank one rectangle of each clip with probability `probability`: 0, the mean pixel.

    Args:
      video: normalised, (b, ..., h, w, c).
      area: range of the rectangle's share of the frame.
      aspect: range of its height over width, drawn log-uniformly.
    """
    h, w = video.shape[-3:-1]

    def rectangle(key):
        k_do, k_area, k_aspect, k_at = jax.random.split(key, 4)
        share = jax.random.uniform(k_area, minval=area[0], maxval=area[1]) * h * w
        ratio = jnp.exp(
            jax.random.uniform(k_aspect, minval=jnp.log(aspect[0]), maxval=jnp.log(aspect[1]))
        )
        # Upstream draws again until the rectangle fits; clipping keeps one draw and static shapes.
        size = jnp.minimum(jnp.sqrt(share * jnp.array([ratio, 1 / ratio])), jnp.array([h, w]))
        start = jax.random.uniform(k_at, (2,)) * (jnp.array([h, w]) - size)
        inside, _ = _rectangle(start, start + size, h, w)
        return inside & jax.random.bernoulli(k_do, probability)

    inside = jax.vmap(rectangle)(jax.random.split(rng, len(video)))
    inside = inside.reshape(len(video), *[1] * (video.ndim - 4), h, w, 1)
    return jnp.where(inside, 0.0, video)


def _rectangle(start, stop, h, w):
    """(h, w) bool, true inside [start, stop) rounded to whole pixels, and its pixel count."""
    (y0, x0), (y1, x1) = jnp.round(start), jnp.round(stop)
    y, x = jnp.arange(h)[:, None], jnp.arange(w)
    inside = (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
    return inside, inside.sum()
