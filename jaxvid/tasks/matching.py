"""Videos and texts that are compared by features, and then by a network that sees both: VindLU.

Shapes: b batch, n texts of a sample, l tokens of a text, m tokens of a video, f features.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxvid.config.values import Natural, Positive
from jaxvid.metrics.matching import Matches
from jaxvid.ops import augment, losses
from jaxvid.tasks.retrieval import HIDDEN, Retrieval


@dataclass(frozen=True, kw_only=True)
class Matching(Retrieval):
    """Contrastive loss over a batch, and the loss of telling right pairs from wrong ones.

    The wrong pairs are made by the model, of videos and texts that are similar. In evaluation, the
    best candidates by features are ranked by the network that sees both.

    Attributes:
      rerank: Number of candidates that the network ranks for each text and each video. 0 ranks by
        features only, which is much faster.
    """

    mean: tuple[float, ...] = (128.0,)
    std: tuple[Positive, ...] = (128.0,)
    temperature: Positive = 1 / 0.07
    rerank: Natural = 128

    def prepare(self, rng, batch, train):
        if "tokens" in batch:  # of pairs to rank
            return batch
        return batch | {"video": augment.normalize(batch["video"], self.mean, self.std)}

    def inputs(self, batch):
        if "tokens" in batch:
            return {key: batch[key] for key in ("tokens", "text")}
        return super().inputs(batch)

    def loss(self, out, batch):
        mask = batch["mask"]
        score = out.video @ out.text[:, 0].T / jnp.mean(out.temperature)
        ways = jnp.where(mask > 0, score, HIDDEN), jnp.where(mask > 0, score.T, HIDDEN)
        target = jnp.eye(len(mask))
        v2t, t2v = (losses.masked_mean(losses.cross_entropy(s, target), mask) for s in ways)
        right = jax.nn.one_hot(jnp.array([1, 0, 0]), 2)  # of a pair and its two wrong ones
        match = losses.masked_mean(losses.cross_entropy(out.match, right).mean(1), mask)
        contrast = (v2t + t2v) / 2
        return contrast + match, {"loss_contrast": contrast, "loss_match": match}

    def predict(self, out, batch):
        """Return `video` (b, f), `text` (b, n, f), `text_mask` (b, n), and what ranks pairs.

        This is the `tokens` (b, m, c) of videos and `ids` (b, n, l) of texts. For a batch of pairs,
        it is the `match` (b, n) of each, a logit.
        """
        if out.video is None:
            return {"match": out.match[..., 1]}
        preds = {"video": out.video}
        if out.text is None:
            return preds
        mask = (batch["text"] > 0).any(-1).astype(jnp.float32)
        scale = jnp.full(len(out.video), 1 / out.temperature)
        preds |= {"text": out.text, "text_mask": mask, "logit_scale": scale}
        if not self.rerank:
            return preds
        return preds | {"tokens": out.tokens.astype(jnp.float16), "ids": batch["text"]}

    def metrics(self):
        return [Matches(topk=self.rerank)]


build = Matching
