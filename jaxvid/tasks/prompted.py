"""Videos and class names in a joint embedding space: ActionCLIP (Wang et al., 2021).

Shapes: b batch, n texts of a class, f features, c classes.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxvid.metrics import classification
from jaxvid.metrics.prompted import PromptedAccuracy, class_scores
from jaxvid.ops import losses
from jaxvid.tasks.base import Report
from jaxvid.tasks.recognition import examples
from jaxvid.tasks.retrieval import HIDDEN, Retrieval, sigmoid_loss, unit


@dataclass(frozen=True, kw_only=True)
class Prompted(Retrieval):
    """Retrieval where all samples of a class are right for each other, measured as recognition.

    The batch has `label` int (b,) beside `video` and `text`, of which training has one a sample. A
    class without a sample in the evaluation has no text there, and is never predicted.
    """

    def loss(self, out, batch):
        mask, label = batch["mask"], batch["label"]
        score = out.scale * unit(out.video) @ unit(out.text[:, 0]).T
        same = (label[:, None] == label) * mask[:, None] * mask
        target = same / jnp.maximum(same.sum(1, keepdims=True), 1)
        ways = jnp.where(mask > 0, score, HIDDEN), jnp.where(mask > 0, score.T, HIDDEN)
        videos, texts = (losses.masked_mean(losses.cross_entropy(s, target), mask) for s in ways)
        right = jnp.take_along_axis(same, ways[0].argmax(-1)[:, None], 1)[:, 0]
        pairs = sigmoid_loss(score, out.bias, same, mask)
        loss = (texts + videos) / 2 if pairs is None else pairs
        return loss, {"v2t_r1": losses.masked_mean(right, mask)}

    def predict(self, out, batch):
        """Return the predictions of `Retrieval`, and `label` (b,)."""
        return super().predict(out, batch) | {"label": batch["label"]}

    def metrics(self):
        return [PromptedAccuracy(self.num_classes, self.temperature)]

    def scores(self, preds):
        """Return the probabilities of the classes (n, c) of all samples."""
        by = preds["video"], preds["text"], preds["label"], self.num_classes, self.temperature
        return class_scores(*by)

    def report(self, preds, ids, names):
        """Return a report with the scores of the classes (n, c), and a row per class."""
        score = self.scores(preds)
        rows = classification.per_class_report(score, preds["label"], names)
        dump = dict(id=np.array(ids), score=score, label=preds["label"], names=np.array(names))
        files = {"predictions.npz": dump, "report.csv": [type(rows[0])._fields, *rows]}
        weakest = sorted((r for r in rows if r.n), key=lambda r: r.recall)[:5]
        line = ", ".join(f"{r.name} {r.recall:.0%}" for r in weakest)
        return Report(files, [f"weakest classes: {line}"], *examples(score, preds["label"], names))


build = Prompted
