"""Recognition of classes by their texts, where these see the video: X-CLIP (Ni et al., 2022).

Shapes: b batch, c classes, n texts of a class, l tokens, f features.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvid.config.values import Rate
from jaxvid.errors import UserError
from jaxvid.metrics.prompted import CosineAccuracy, probabilities
from jaxvid.ops import losses
from jaxvid.tasks.prompted import Prompted
from jaxvid.tasks.retrieval import recognized, unit


@dataclass(frozen=True, kw_only=True)
class TextClasses(Prompted):
    """Softmax over the classes, by the cosines of a video with the texts of all of them.

    The batch has `video`, `label` int (b,), and `text` int32 (b, c n, l), the texts of all classes,
    which are the same for all samples. The model returns features of texts (b, c n, f), for each
    video its own.

    Attributes:
      smoothing: Share of each label that is spread over all classes (label smoothing).
    """

    compares: ClassVar[bool] = False
    all_texts: ClassVar[bool] = True  # a sample has those of all classes

    smoothing: Rate = 0.0

    def inputs(self, batch):
        """Return the videos, and the texts of the first sample, which are those of all."""
        inputs = super().inputs(batch)
        return inputs | {"text": inputs["text"][:1]} if "text" in inputs else inputs

    def loss(self, out, batch):
        score = out.scale * self._by_class(cosines(out))
        target = jax.nn.one_hot(batch["label"], self.num_classes)
        if self.smoothing:
            target = optax.smooth_labels(target, self.smoothing)
        each = losses.cross_entropy(jnp.moveaxis(score, 2, 1), target[:, None]).mean(1)
        right = (score.mean(2).argmax(-1) == batch["label"]).astype(jnp.float32)
        mask = batch["mask"]
        return losses.masked_mean(each, mask), {"top1": losses.masked_mean(right, mask)}

    def predict(self, out, batch):
        """Return `video` (b, f) of length 1, `cosine` (b, c n) with all texts, `label` (b,)."""
        found = {"video": unit(out.video), "label": batch["label"]}
        return found if out.text is None else found | {"cosine": cosines(out)}

    def metrics(self):
        return [CosineAccuracy(self.num_classes, self.temperature)]

    def scores(self, preds):
        return probabilities(self._by_class(preds["cosine"]), self.temperature)

    def describe(self, preds, names, topk=None):
        """Return the `topk` (5) most likely labels of `names`, each with several texts."""
        if "cosine" not in preds:
            return super().describe(preds, names, topk)
        cosine = np.asarray(preds["cosine"]).reshape(len(names), -1)
        return recognized(cosine, names, self.temperature, topk)

    def _by_class(self, cosine):  # (b, c n) -> (b, c, n)
        if cosine.shape[1] % self.num_classes:
            raise UserError(
                f"a sample has {cosine.shape[1]} texts for {self.num_classes} classes: the task"
                " text_classes needs the texts of all classes, as data.train.all_texts and"
                " data.val.all_texts of the source user_clips give them"
            )
        return cosine.reshape(len(cosine), self.num_classes, -1)


def cosines(out):
    """Return the cosines (b, n) of each video with its texts."""
    return jnp.einsum("bnf,bf->bn", unit(out.text), unit(out.video))


build = TextClasses
