"""Metrics of retrieval: ranks of the right candidates when all are sorted by similarity.

Shape letters: n videos, q queries, c candidates, f features.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxvid.log import warn_once

logger = logging.getLogger(__name__)

RECALLS = (1, 5, 10)
CHANCE = 3  # a recall at 1 below this multiple of chance is diagnosed
ROWS = 1024  # rows of the similarity matrix that are computed at once
ENOUGH = 2000  # maximum number of videos, and of texts, for the diagnosis


def ranks(score: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the rank of the best candidate that is right, from 1: float (q,).

    Ties count half, so that a model that cannot tell candidates apart is as good as chance. NaN is
    below all other scores.

    Args:
      score: (q, c).
      target: bool (q, c), with one candidate or more that is right.
    """
    score = np.where(np.isnan(score), -np.inf, score)
    best = np.where(target, score, -np.inf).max(1, keepdims=True)
    return 1 + ((score > best) & ~target).sum(1) + ((score == best) & ~target).sum(1) / 2


def summary(ranks: np.ndarray) -> dict[str, float]:
    """Return the recalls at 1, 5 and 10, and the median and mean of ranks."""
    recalls = {f"r{k}": float((ranks <= k).mean()) for k in RECALLS}
    return recalls | {"median_rank": float(np.median(ranks)), "mean_rank": float(ranks.mean())}


def both_ways(video: np.ndarray, text: np.ndarray, owner: np.ndarray) -> tuple:
    """Return the rank of the video of each text (texts,), and of the text of each video (n,).

    If videos have several texts, the best text of each video counts (Luo et al., 2021).

    Args:
      video: (n, f) and text (texts, f), of length 1.
      owner: int (texts,), the video of each text, ascending; every video has one.
    """
    score = text @ video.T
    own = owner[:, None] == np.arange(len(video))
    best = np.maximum.reduceat(score, np.searchsorted(owner, np.arange(len(video))))
    return ranks(score, own), ranks(best.T, np.eye(len(video), dtype=bool))


def contrastive_loss(
    video: np.ndarray, text: np.ndarray, scale: float, label: np.ndarray | None = None
) -> float:
    """Return the contrastive loss over all samples, the mean of both directions.

    It is the loss of training for one batch of all samples. So it does not depend on how they are
    divided into batches, and it grows with the logarithm of their number.

    Args:
      video, text: (n, f) of length 1, a text for each video.
      scale: factor of the cosine similarities.
      label: int (n,); samples of the same label are right for each other. By default a sample is
        right for itself only.
    """
    label = np.arange(len(video)) if label is None else label

    def entropy(queries, candidates):
        total = 0.0
        for start in range(0, len(queries), ROWS):
            rows = slice(start, start + ROWS)
            score = scale * (queries[rows] @ candidates.T).astype(np.float64)
            target = label[rows, None] == label
            top = score.max(1)
            logsumexp = top + np.log(np.exp(score - top[:, None]).sum(1))
            total += (logsumexp - (score * target).sum(1) / target.sum(1)).sum()
        return total / len(queries)

    return float(entropy(video, text) + entropy(text, video)) / 2


@dataclass
class Retrieval:
    """`t2v_*` for videos by text and `v2t_*` for texts by video: `r1`, `r5`, `r10` and ranks.

    Predictions have `video` (b, f), `text` (b, n, f) of length 1, `text_mask` (b, n), and perhaps
    `logit_scale` (b,). With it, `loss` is the contrastive loss of all videos and their first texts.
    """

    rows: list[dict[str, np.ndarray]] = field(default_factory=list)
    scale: float | None = field(default=None, init=False)

    def update(self, preds: dict[str, Any]) -> None:
        keep = preds["mask"] > 0
        self.rows.append({k: preds[k][keep] for k in ("video", "text", "text_mask")})
        if "logit_scale" in preds:
            self.scale = float(preds["logit_scale"][0])

    def collected(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return features of videos (n, f) and texts (texts, f), and the video of each text."""
        video, text, mask = (
            np.concatenate([row[k] for row in self.rows]) for k in ("video", "text", "text_mask")
        )
        return video, text[mask > 0], np.nonzero(mask > 0)[0]

    def ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the ranks of all collected samples, see `both_ways`."""
        return both_ways(*self.collected())

    @property
    def larger_is_better(self) -> tuple[str, ...]:
        return tuple(f"{way}_r{k}" for way in ("t2v", "v2t") for k in RECALLS)

    def compute(self) -> dict[str, float]:
        """Return recalls and ranks in both directions. A warning explains low values."""
        video, text, owner = self.collected()
        ways = both_ways(video, text, owner)
        recall = (ways[0] <= 1).mean()
        if recall < CHANCE / len(video) and (reasons := diagnose(video, text, owner)):
            explained = "\n  ".join(reasons)
            warn_once(logger, f"t2v_r1 is {recall:.2%}:\n  {explained}")
        named = zip(("t2v", "v2t"), ways, strict=True)
        values = {f"{way}_{k}": v for way, ranks in named for k, v in summary(ranks).items()}
        if self.scale is None:
            return values
        _, first = np.unique(owner, return_index=True)
        return {"loss": contrastive_loss(video, text[first], self.scale), **values}


def diagnose(video: np.ndarray, text: np.ndarray, owner: np.ndarray) -> list[str]:
    """Return possible causes of a low recall, one sentence each; empty if none is detected.

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
