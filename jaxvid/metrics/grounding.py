"""Metrics of language grounding. Host-side NumPy.

R@n is the share of sentences for which one of the n best segments overlaps the true one by more
than a threshold, as in the published evaluations of Charades-STA. All values are fractions, 0..1.

Shapes: m segments of a sentence, (m, 3) start, end, score.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxvid.errors import UserError

THRESHOLDS = (0.3, 0.5, 0.7)  # of IoU
RANKS = (1, 5)


@dataclass
class GroundingMetrics:
    """R@1 and R@5 at three thresholds, and the mean IoU of the best segment.

    Attributes:
      detect: function from the predictions of a sample, without batch axis, to segments (m, 3) in
        seconds, best first.
      found: segments (m, 3) of each sentence, and the true one (2,).
    """

    detect: Callable[[Mapping[str, np.ndarray]], np.ndarray]
    found: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list, init=False)

    def update(self, preds: Mapping[str, Any]) -> None:
        """Add a batch of predictions.

        Args:
          preds: inputs of `detect`, segments (b, 1, 2) and duration (b,) in seconds, mask (b,).
        """
        for row in np.flatnonzero(np.asarray(preds["mask"]) > 0):
            sample = {key: value[row] for key, value in preds.items()}
            start, end = sample["segments"][0]
            true = np.array([start, min(end, sample["duration"])])
            self.found.append((self.detect(sample), true))

    @property
    def larger_is_better(self) -> tuple[str, ...]:
        recalls = (f"r{n}_iou{round(100 * t)}" for t in THRESHOLDS for n in RANKS)
        return (*recalls, "miou")

    def compute(self) -> dict[str, float]:
        """Return {"r1_iou30", "r5_iou30", "r1_iou50", ..., "miou"}."""
        if not self.found:
            raise UserError("nothing to evaluate: the split has no sentence")
        overlaps = [overlap(found[:, :2], true) for found, true in self.found]
        values = {}
        for threshold in THRESHOLDS:
            for n in RANKS:
                right = [bool((each[:n] > threshold).any()) for each in overlaps]
                values[f"r{n}_iou{round(100 * threshold)}"] = float(np.mean(right))
        best = [max(float(each[0]), 0.0) if len(each) else 0.0 for each in overlaps]
        return values | {"miou": float(np.mean(best))}


def overlap(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the IoU (m,) of segments (m, 2) and one segment (2,); negative if they are apart.

    As published, the union reaches from the first start to the last end.
    """
    shared = np.minimum(found[:, 1], true[1]) - np.maximum(found[:, 0], true[0])
    union = np.maximum(found[:, 1], true[1]) - np.minimum(found[:, 0], true[0])
    return shared / np.maximum(union, 1e-12)
