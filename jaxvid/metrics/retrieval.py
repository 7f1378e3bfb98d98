"""Retrieval: how far down the right one stands when all are sorted by similarity.

Shapes: n videos, q queries, c candidates, f features.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxvid.log import warn_once

logger = logging.getLogger(__name__)

RECALLS = (1, 5, 10)
CHANCE = 3  # recall at 1 below so many times that of chance may have a reason
ENOUGH = 2000  # videos, and texts, to find it in


def ranks(score: np.ndarray, target: np.ndarray) -> np.ndarray:
    """float (q,): place of the best candidate that is right, from 1.

    Ties count half, so that a model that cannot tell candidates apart is as good as chance. NaN is
    below all other scores.

    Args:
      score: (q, c).
      target: bool (q, c), with one candidate or more that is right.
    """
    score = np.where(np.isnan(score), -np.inf, score)
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

    def collected(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features of videos (n, f) and texts (texts, f), and the video of each text (texts,)."""
        video, text, mask = (
            np.concatenate([row[k] for row in self.rows]) for k in ("video", "text", "text_mask")
        )
        return video, text[mask > 0], np.nonzero(mask > 0)[0]

    def ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """As `both_ways`, of all that was seen."""
        return both_ways(*self.collected())

    @property
    def larger_is_better(self) -> tuple[str, ...]:
        return tuple(f"{way}_r{k}" for way in ("t2v", "v2t") for k in RECALLS)

    def compute(self) -> dict[str, float]:
        """Recalls and ranks both ways; warns of what may make them low."""
        video, text, owner = self.collected()
        ways = both_ways(video, text, owner)
        recall = (ways[0] <= 1).mean()
        if recall < CHANCE / len(video) and (reasons := diagnose(video, text, owner)):
            explained = "\n  ".join(reasons)
            warn_once(logger, f"t2v_r1 is {recall:.2%}:\n  {explained}")
        named = zip(("t2v", "v2t"), ways, strict=True)
        return {f"{way}_{k}": v for way, places in named for k, v in summary(places).items()}


def diagnose(video: np.ndarray, text: np.ndarray, owner: np.ndarray) -> list[str]:
    """What in the features may make recall low, a sentence a reason; nothing where nothing shows.

    Args:
      video, text, owner: see `both_ways`.
    """
    found = []
    for name, features in (("videos", video), ("texts", text)):
        if count := int((~np.isfinite(features)).any(1).sum()):
            found.append(
                f"features of {count:,} of {len(features):,} {name} are NaN or infinite: training"
                " diverged, or the weights are damaged"
            )
    if found:
        return found
    for name, features in (("videos", video[:ENOUGH]), ("texts", text[:ENOUGH])):
        if len(features) > 1 and np.ptp(features, axis=0).max() < 1e-4:
            found.append(f"all {name} have the same features: the model does not tell them apart")
    if found:
        return found
    same, owners = {}, owner[:ENOUGH].tolist()
    for row, of in zip(text[:ENOUGH].round(5).tolist(), owners, strict=True):
        same.setdefault(tuple(row), set()).add(of)
    shared = sum(len(videos) for videos in same.values() if len(videos) > 1)
    if shared > len(set(owners)) / 2:
        found.append(
            f"{shared:,} of {len(set(owners)):,} videos share a text with another one, so that"
            " their texts cannot find them: are the captions those of these videos?"
        )
    return found
