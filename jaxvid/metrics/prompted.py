"""Metrics of recognition by comparison of videos with texts of classes, in NumPy on the host.

Shape letters: m samples, n texts of a class, f features, c classes.
"""

from typing import Any

import numpy as np

from jaxvid.metrics.classification import Accuracy
from jaxvid.metrics.retrieval import contrastive_loss


def probabilities(cosine: np.ndarray, temperature: float) -> np.ndarray:
    """Return the mean over texts of a softmax over classes: (..., c, n) -> (..., c).

    Args:
      cosine: Cosine similarities with each text of each class.
      temperature: Their factor before the softmax.
    """
    score = temperature * cosine
    score = np.exp(score - score.max(-2, keepdims=True))
    return (score / score.sum(-2, keepdims=True)).mean(-1)


def class_scores(
    video: np.ndarray, text: np.ndarray, label: np.ndarray, num_classes: int, temperature: float
) -> np.ndarray:
    """Return the probabilities of the classes: the mean over texts of a softmax over classes.

    Args:
      video: (m, f), features of length 1.
      text: (m, n, f), features of length 1 of the texts of the class of each sample.
      label: int (m,). Classes without a sample have no text, and their probability is 0.
      temperature: factor of the cosine similarities.

    Returns:
      float32 (m, c).
    """
    present, first = np.unique(label, return_index=True)
    score = probabilities(np.einsum("mf,cnf->mcn", video, text[first]), temperature)
    found = np.zeros((len(video), num_classes), np.float32)
    found[:, present] = score
    return found


class PromptedAccuracy(Accuracy):
    """Top-k and mean class accuracy of `video` (b, f), by the `text` (b, n, f) of all classes.

    With `logit_scale` (b,), `loss` is the contrastive loss of all videos and the first texts of
    their classes.
    """

    def __init__(self, num_classes: int, temperature: float):
        super().__init__(num_classes)
        self._temperature = temperature
        self._texts: list[np.ndarray] = []
        self._scale: float | None = None

    def update(self, preds: dict[str, Any]) -> None:
        """Take a batch: video, text, label (b,), mask (b,)."""
        valid = np.asarray(preds["mask"]) > 0
        self._scores.append(np.asarray(preds["video"], np.float32)[valid])
        self._texts.append(np.asarray(preds["text"], np.float32)[valid])
        self._labels.append(np.asarray(preds["label"])[valid])
        if "logit_scale" in preds:
            self._scale = float(preds["logit_scale"][0])

    def compute(self) -> dict[str, float]:
        """Return the values of `Accuracy`, and "loss"."""
        values = super().compute()
        if self._scale is None:
            return values
        video, label = super()._collected()
        text = np.concatenate(self._texts)[:, 0]
        return {"loss": contrastive_loss(video, text, self._scale, label), **values}

    def _collected(self) -> tuple[np.ndarray, np.ndarray]:
        video, label = super()._collected()
        text = np.concatenate(self._texts)
        return class_scores(video, text, label, self.num_classes, self._temperature), label


class CosineAccuracy(Accuracy):
    """Top-k and mean class accuracy, by `cosine` (b, c n) with n texts of each class."""

    def __init__(self, num_classes: int, temperature: float):
        super().__init__(num_classes)
        self._temperature = temperature

    def update(self, preds: dict[str, Any]) -> None:
        """Take a batch: cosine, label (b,), mask (b,)."""
        cosine = np.asarray(preds["cosine"], np.float32)
        cosine = cosine.reshape(len(cosine), self.num_classes, -1)
        super().update({**preds, "score": probabilities(cosine, self._temperature)})
