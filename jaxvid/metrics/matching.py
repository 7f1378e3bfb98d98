"""Retrieval in two steps: by features, then the best candidates by a network that sees pairs.

Shapes: v videos, t texts, k texts of a batch of pairs, m tokens of a video, l tokens of a text.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvid.metrics.retrieval import Retrieval, ranks, summary

UNRANKED = -100.0  # the score of pairs that are not among the candidates, as published
TEXTS = 128  # texts of a batch of pairs


@dataclass
class Matches(Retrieval):
    """The values of `Retrieval`, after the candidates are ranked again.

    Predictions have `tokens` (b, m, c) and `ids` (b, n, l) in addition, unless `topk` is 0. All
    tokens are kept in memory as float16, so MSR-VTT's 1,000 videos take 3.6 GB.

    Attributes:
      topk: Number of candidates of each text and each video that are ranked again.
    """

    topk: int = 128

    def update(self, preds: dict[str, Any]) -> None:
        super().update(preds)
        if self.topk:
            keep = preds["mask"] > 0
            self.rows[-1] |= {k: np.asarray(preds[k])[keep] for k in ("tokens", "ids")}

    def compute(self) -> dict[str, float]:
        """Return recalls and ranks in both directions."""
        values = super().compute()
        if not self.topk:
            return values
        self._require_second()
        *_, owner = self.collected()
        own = owner == np.arange(len(self._score))[:, None]  # (v, t)
        ways = {"t2v": (self._by_text, own.T), "v2t": (self._by_video, own)}
        for way, (candidates, target) in ways.items():
            score = self._score.T if way == "t2v" else self._score
            found = ranks(np.where(candidates, score, UNRANKED), target)
            values |= {f"{way}_{k}": value for k, value in summary(found).items()}
        return values

    def second_pass(self, predict: Callable[[dict], dict]) -> Iterator[int]:
        """Rank the candidates, and yield the number of pairs after each batch.

        Args:
          predict: the evaluation step, from a batch with `tokens` and `text` to `match`.
        """
        if not self.topk:
            return
        video, text, _ = self.collected()
        tokens = [x for row in self.rows for x in row["tokens"]]
        ids = np.concatenate([row["ids"][row["text_mask"] > 0] for row in self.rows])
        cosine = text @ video.T
        self._by_text, self._by_video = best(cosine, self.topk), best(cosine.T, self.topk)
        self._score = np.full((len(video), len(text)), UNRANKED, np.float32)
        one = {"index": np.zeros(1, np.int32), "mask": np.ones(1, np.float32)}
        for v, wanted in enumerate(self._by_text.T | self._by_video):
            rows = np.flatnonzero(wanted)
            for start in range(0, len(rows), TEXTS):
                part = rows[start : start + TEXTS]
                size = min(TEXTS, len(text))  # the same for all batches
                chosen = ids[np.resize(part, max(size, 2))]
                batch = {"tokens": tokens[v][None], "text": chosen[None], **one}
                self._score[v, part] = np.asarray(predict(batch)["match"])[0, : len(part)]
                yield len(part)

    def _require_second(self) -> None:
        if not hasattr(self, "_score"):
            raise RuntimeError("second_pass comes before compute")


def best(score: np.ndarray, k: int) -> np.ndarray:
    """Return whether each candidate is among the best k of its query, bool (q, c)."""
    found = np.zeros(score.shape, bool)
    chosen = np.argsort(-score, axis=1, kind="stable")[:, :k]
    np.put_along_axis(found, chosen, True, 1)
    return found
