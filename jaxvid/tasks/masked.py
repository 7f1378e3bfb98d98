"""Masked pre-training: a model sees a part of a clip, and restores the pixels of the rest.

Shapes: b batch, v views, t h w grid, k visible and m hidden units, p values of a patch.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Count, Positive, Rate
from jaxvid.errors import UserError
from jaxvid.ops import losses, masking
from jaxvid.ops.augment import UNCHANGED, Augment, normalize
from jaxvid.tasks.base import Report, SampleLabels


@dataclass(frozen=True, kw_only=True)
class Masked:
    """Masked auto-encoding of the clips (b, v, T, H, W, 3) of a batch; their labels are not used.

    The model takes `video`, `visible` (n, k) and `hidden` (n, m), numbers of units, and returns the
    patches of the hidden ones (n, patches, p), in the order of their numbers. In evaluation, the
    same units of all clips are hidden.

    Attributes:
      num_classes: of no use here.
      mean: Mean of the pixel values 0..255, for each channel (RGB).
      std: Standard deviation of the pixel values, for each channel.
      patch: Pixels of a patch in time, height and width.
      unit: Patches that are hidden or visible together, in time, height and width.
      hide: "tube" hides the same places in all frames, and "random" hides units wherever they
        are.
      ratio: Share of the units that is hidden.
      frame_step: Restore every n-th frame of a patch only.
      target: What is restored: "channel", the pixels, of which each channel of a patch is
        normalized, as in VideoMAE; "patch", the input of the model, of which each patch is
        normalized, as in MAE; "pixels", pixel values 0..1.
      augment: Random changes of the clips in training.
    """

    compares: ClassVar[bool] = False
    sample_labels: ClassVar[SampleLabels] = "other"
    label_shape: ClassVar[tuple[int, ...]] = ()

    num_classes: int
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[Positive, ...] = (58.395, 57.12, 57.375)
    patch: tuple[Count, Count, Count] = (2, 16, 16)
    unit: tuple[Count, Count, Count] = (1, 1, 1)
    hide: Literal["tube", "random"] = "tube"
    ratio: Rate = 0.9
    frame_step: Count = 1
    target: Literal["channel", "patch", "pixels"] = "channel"
    augment: Augment = UNCHANGED

    def prepare(self, rng, batch, train):  # video uint8 (b, v, T, H, W, c)
        if train:
            batch = self.augment.before(rng, batch, self.num_classes)
        video = normalize(batch["video"], self.mean, self.std)
        b, v, *size, _ = video.shape
        draw = {"tube": masking.tubes, "random": masking.random}[self.hide]
        key, n = (jax.random.fold_in(rng, 1), b * v) if train else (jax.random.key(0), 1)
        drawn = draw(key, n, self._grid(size), self.ratio)
        if not all(x.shape[1] for x in drawn):
            raise UserError(
                f"config.task.ratio={self.ratio} hides no unit of a clip, or all of them"
            )
        visible, hidden = (
            x.reshape(b, v, -1) if train else jnp.broadcast_to(x, (b, v, x.shape[1])) for x in drawn
        )
        pixels = batch["video"]
        return batch | dict(pixels=pixels, video=video, visible=visible, hidden=hidden)

    def inputs(self, batch):
        return {key: _folded(batch[key]) for key in ("video", "visible", "hidden")}

    def loss(self, out, batch):  # out (b v, patches, p)
        each = jnp.square(out - self.targets(batch)).mean((1, 2))
        mask = jnp.repeat(batch["mask"], len(each) // len(batch["mask"]), 0)
        return losses.masked_mean(each, mask), {}

    def targets(self, batch) -> jax.Array:
        """Return what is to be restored, (b v, patches, p) float32."""
        source = (
            batch["video"] if self.target == "patch" else batch["pixels"].astype(jnp.float32) / 255
        )
        video, hidden = _folded(source), _folded(batch["hidden"])
        cut = masking.patches(video[:, :: self.frame_step], self._restored)
        numbers = masking.patches_of(hidden, self._grid(video.shape[1:4]), self.unit)
        cut = jnp.take_along_axis(cut, numbers[..., None, None], 1)
        normal = {"channel": masking.per_channel, "patch": masking.per_patch}.get(self.target)
        cut = normal(cut) if normal else cut
        return cut.reshape(*cut.shape[:2], -1)

    def predict(self, out, batch):
        """Return the `error` (b,) of each sample, its loss."""
        each = jnp.square(out - self.targets(batch)).mean((1, 2))
        return {"error": each.reshape(len(batch["mask"]), -1).mean(1)}

    def metrics(self):
        return []

    def describe(self, preds, names, topk=None):
        raise UserError(
            "this model restores pixels and knows no classes: fine-tune it with"
            " --config.init.weights, or use its features"
        )

    def report(self, preds, ids, names):
        """Return a report with the error of each clip, and the hardest clips."""
        error = preds["error"]
        order = np.argsort(-error)[:5]
        listed = ", ".join(f"{ids[i]} ({error[i]:.3f})" for i in order.tolist())
        files = {"predictions.npz": dict(id=np.array(ids), error=error)}
        return Report(files, [f"hardest to restore: {listed}"])

    def _grid(self, size) -> masking.Grid:
        """Return the grid of units of clips (T, H, W).

        Raises:
          UserError: units do not fit into them.
        """
        pixels = [p * u for p, u in zip(self.patch, self.unit, strict=True)]
        if any(s % p for s, p in zip(size, pixels, strict=True)):
            shape, unit = (" x ".join(map(str, x)) for x in (size, pixels))
            raise UserError(f"config.task: units of {unit} pixels do not fit clips of {shape}")
        t, h, w = (s // p for s, p in zip(size, pixels, strict=True))
        return t, h, w

    @property
    def _restored(self) -> masking.Grid:
        """The size of the patches that are restored."""
        a, i, j = self.patch
        return -(-a // self.frame_step), i, j


def _folded(x):  # (b, v, ...) -> (b v, ...)
    return x.reshape(-1, *x.shape[2:])


build = Masked
