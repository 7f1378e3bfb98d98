"""The caption of a video among several, by a model that compares both: VindLU.

Shapes: b batch, n captions of a video, l tokens of a caption.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Probability
from jaxvid.metrics.classification import Accuracy
from jaxvid.ops import losses
from jaxvid.results import Recognized
from jaxvid.tasks.base import Report, SampleLabels
from jaxvid.tasks.matching import Matching
from jaxvid.tasks.recognition import examples


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(Matching):
    """The score of a caption is a mean of two probabilities, as published.

    One is that the network which sees both finds the caption right. The other is that of the
    caption among all of the video, by features. No training was published for it; its loss here is
    the sum of the cross-entropies of both among the captions.

    The batch has `video`, `text` int32 (b, n, l), and `label` int (b,), the right caption.

    Attributes:
      match_weight: Weight of the first probability; that of the second is the rest.
    """

    compares: ClassVar[bool] = False
    sample_labels: ClassVar[SampleLabels] = "other"

    match_weight: Probability = 0.7

    def loss(self, out, batch):
        target = jax.nn.one_hot(batch["label"], out.text.shape[1])
        match = out.match[..., 1] - out.match[..., 0]
        ways = match, self._similarity(out)
        each = sum(losses.cross_entropy(score, target) for score in ways)
        right = (match.argmax(-1) == batch["label"]).astype(jnp.float32)
        mask = batch["mask"]
        return losses.masked_mean(each, mask), {"top1": losses.masked_mean(right, mask)}

    def predict(self, out, batch):
        """Return `score` (b, n), the score of each caption, and `label` (b,)."""
        match = jax.nn.softmax(out.match)[..., 1]
        similar = jax.nn.softmax(self._similarity(out))
        score = self.match_weight * match + (1 - self.match_weight) * similar
        return {"score": score, "label": batch["label"]}

    def metrics(self):
        return [Accuracy(self.num_classes, (1,))]

    def describe(self, preds, names, topk=None):
        """Return the `topk` (5) best captions, by their numbers."""
        order = np.argsort(-preds["score"], kind="stable")[: topk or 5]
        names = tuple(f"caption {i + 1}" for i in range(len(preds["score"])))
        return Recognized(tuple(names[i] for i in order), tuple(preds["score"][order].tolist()))

    def report(self, preds, ids, names):
        """Return a report with the scores (n, captions) of all samples."""
        score, label = preds["score"], preds["label"]
        dump = dict(id=np.array(ids), score=score, label=label, names=np.array(names))
        return Report({"predictions.npz": dump}, [], *examples(score, label, names))

    def _similarity(self, out):  # (b, n)
        return jnp.einsum("bf,bnf->bn", out.video, out.text) / jnp.mean(out.temperature)


build = MultipleChoice
