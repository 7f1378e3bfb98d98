"""Retrieval: how far down the right one stands when all are sorted by similarity.

Shapes: n videos, q queries, c candidates, f features.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

RECALLS = (1, 5, 10)


def ranks(score: np.ndarray, target: np.ndarray) -> np.ndarray:
    """float (q,): place of the best candidate that is right, from 1.

    Ties count half, so that a model that cannot tell candidates apart is as good as chance.

    Args:
      score: (q, c).
      target: bool (q, c), with one candidate or more that is right.
    """
    best = np.where(target, score, -np.inf).max(1, keepdims=True)
    return 1 + ((score > best) & ~target).sum(1) + ((score == best) & ~target).sum(1) / 2


def summary(places: np.ndarray) -> dict[str, float]:
    """Recall among the first 1, 5 and 10, median and mean of ranks."""
    recalls = {f"r{k}": float((places <= k).mean()) for k in RECALLS}
    return recalls | {"median_rank": float(np.median(places)), "mean_rank": float(places.mean())}


def both_ways(video: np.ndarray, text: np.ndarray, owner: np.ndarray) -> tuple:
    """Ranks of every text's video (texts,), and of every video's text (n,).

    Of a video with several texts the best counts, also against another video (Luo et al., 2021).

    Args:
      video: (n, f) and text (texts, f), of length 1.
      owner: int (texts,), the video of each text, ascending; every video has one.
    """
    score = text @ video.T
    own = owner[:, None] == np.arange(len(video))
    best = np.maximum.reduceat(score, np.searchsorted(owner, np.arange(len(video))))
    return ranks(score, own), ranks(best.T, np.eye(len(video), dtype=bool))


@dataclass
class Retrieval:
    """`t2v_*` for videos by text and `v2t_*` for texts by video: `r1`, `r5`, `r10` and ranks.

    Predictions have `video` (b, f), `text` (b, n, f) of length 1, and `text_mask` (b, n).
    """

    rows: list[dict[str, np.ndarray]] = field(default_factory=list)

    def update(self, preds: dict[str, Any]) -> None:
        keep = preds["mask"] > 0
        self.rows.append({k: preds[k][keep] for k in ("video", "text", "text_mask")})

    def ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """As `both_ways`, of all that was seen."""
        video, text, mask = (
            np.concatenate([row[k] for row in self.rows]) for k in ("video", "text", "text_mask")
        )
        return both_ways(video, text[mask > 0], np.nonzero(mask > 0)[0])

    def compute(self) -> dict[str, float]:
        named = zip(("t2v", "v2t"), self.ranks(), strict=True)
        return {f"{way}_{k}": v for way, places in named for k, v in summary(places).items()}
