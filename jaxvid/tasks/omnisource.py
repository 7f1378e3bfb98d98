"""Recognition of clips that learns from labeled images, too (OmniSource, Duan et al., 2020).

Shapes: b clips, n images, v views, h height, w width, c channels.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxvid.config.values import NonNegative
from jaxvid.ops import losses
from jaxvid.ops.augment import Augment, normalize
from jaxvid.tasks.recognition import Recognition


@dataclass(frozen=True, kw_only=True)
class OmniSource(Recognition):
    """Recognition with two heads and two losses, which are added: one of clips, one of images.

    A batch of training may have `image_video` uint8 (n, 1, 1, h, w, c), `image_label` (n,) and
    `image_mask` (n,), from `config.data.images`. Images are mirrored as often as clips. Evaluation
    is that of the clips.

    Attributes:
      image_weight: Weight of the loss of the images.
    """

    image_weight: NonNegative = 1.0

    def prepare(self, rng, batch, train):
        ready = super().prepare(rng, batch, train)
        if not train or "image_video" not in batch:  # evaluation and prediction
            return ready
        still = {"video": batch["image_video"]}
        mirrored = Augment(flip=self.augment.flip).before(jax.random.fold_in(rng, 1), still, 0)
        image = normalize(mirrored["video"], self.mean, self.std)[:, 0, 0]
        return ready | {"image": image}

    def inputs(self, batch):
        images = {"image": batch["image"]} if "image" in batch else {}
        return super().inputs(batch) | images

    def loss(self, out, batch):  # out (b v, c), or with images also (n, c')
        if "image" not in batch:
            return super().loss(out, batch)
        clips, images = out
        loss, logs = super().loss(clips, batch)
        label, mask = batch["image_label"], batch["image_mask"]
        target = jax.nn.one_hot(label, images.shape[-1])
        of_images = losses.masked_mean(losses.cross_entropy(images, target), mask)
        right = (images.argmax(-1) == label).astype(jnp.float32)
        logs |= {"loss_video": loss, "loss_image": of_images}
        logs |= {"top1_image": losses.masked_mean(right, mask)}
        return loss + self.image_weight * of_images, logs


build = OmniSource
