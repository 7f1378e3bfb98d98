"""Accuracy of answers to open questions (Antol et al., 2015), https://arxiv.org/abs/1505.00468.

Shapes: b batch, a possible answers.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxvid.errors import UserError


@dataclass
class Answers:
    """`accuracy`: the mean credit of the most likely answers, from 0 to 1.

    Predictions have `score` (b, a) and `credit` (b, a), which `data/text/answers.py` explains.
    """

    earned: list[np.ndarray] = field(default_factory=list)

    @property
    def larger_is_better(self) -> tuple[str, ...]:
        return ("accuracy",)

    def update(self, preds: dict[str, Any]) -> None:
        keep = np.asarray(preds["mask"]) > 0
        score, credit = (np.asarray(preds[key])[keep] for key in ("score", "credit"))
        self.earned.append(np.take_along_axis(credit, score.argmax(1)[:, None], 1)[:, 0])

    def compute(self) -> dict[str, float]:
        """Return {"accuracy"}."""
        earned = np.concatenate([np.zeros(0), *self.earned])
        if not len(earned):
            raise UserError("nothing to evaluate: the split is empty or no sample could be read")
        return {"accuracy": float(earned.mean())}
