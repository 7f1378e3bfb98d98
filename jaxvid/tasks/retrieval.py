"""Videos and texts in a joint embedding space, trained contrastively (Radford et al., 2021).

Shapes: b batch, n texts of a sample, l tokens, f features.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.config.values import Positive
from jaxvid.errors import UserError
from jaxvid.metrics.prompted import probabilities
from jaxvid.metrics.retrieval import Retrieval as Ranks
from jaxvid.ops import augment, losses
from jaxvid.results import Recognized
from jaxvid.tasks.base import Report, SampleLabels

HIDDEN = -1e9  # similarity to what is masked


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """The texts of a batch against all its videos, over all devices.

    The batch has `video` uint8 (b, 1, t, h, w, 3) and `text` int32 (b, n, l), where zeros are
    padding; one text in training. Batches of videos alone can be predicted.

    Attributes:
      num_classes: of no use here.
      mean: Mean of the pixel values 0..255, for each channel (RGB).
      std: Standard deviation of the pixel values, for each channel.
      temperature: Factor by which the cosine similarities are multiplied before the softmax over
        labels, as published.
    """

    compares: ClassVar[bool] = True
    sample_labels: ClassVar[SampleLabels] = "other"
    label_shape: ClassVar[tuple[int, ...]] = ()

    num_classes: int
    mean: tuple[float, ...] = (122.771, 116.746, 104.093)
    std: tuple[Positive, ...] = (68.5, 66.632, 70.323)
    temperature: Positive = 100.0

    def prepare(self, rng, batch, train):
        return batch | {"video": augment.normalize(batch["video"], self.mean, self.std)}

    def inputs(self, batch):
        more = {key: batch[key] for key in ("text", "grid") if key in batch}
        return {"video": batch["video"][:, 0], **more}

    def loss(self, out, batch):
        mask = batch["mask"]
        score = out.scale * unit(out.video) @ unit(out.text[:, 0]).T
        pairs = sigmoid_loss(score, out.bias, jnp.eye(len(mask)), mask)
        score = jnp.where(mask > 0, score, HIDDEN), jnp.where(mask > 0, score.T, HIDDEN)
        target = jnp.eye(len(mask))
        texts, videos = (losses.masked_mean(losses.cross_entropy(s, target), mask) for s in score)
        right = [(s.argmax(-1) == jnp.arange(len(mask))).astype(jnp.float32) for s in score]
        v2t, t2v = (losses.masked_mean(r, mask) for r in right)
        loss = (texts + videos) / 2 if pairs is None else pairs
        return loss, {"t2v_r1": t2v, "v2t_r1": v2t}

    def predict(self, out, batch):
        """Return `video` (b, f) and `text` (b, n, f) of length 1, and `text_mask` (b, n).

        Also `logit_scale` (b,), the learned factor of the cosine similarities in the loss.
        """
        preds = {"video": unit(out.video)}
        if out.text is None:
            return preds
        mask = (batch["text"] > 0).any(-1).astype(jnp.float32)
        scale = jnp.full(len(out.video), out.scale)
        return preds | {"text": unit(out.text), "text_mask": mask, "logit_scale": scale}

    def metrics(self):
        return [Ranks()]

    def describe(self, preds, names, topk=None):
        """Return the `topk` (5) most likely labels of `names`, each with several rows of `text`."""
        if "text" not in preds:
            raise UserError(
                "this model compares videos with texts: give it labels to choose from,"
                " --labels of jaxvid.predict, or search with `python -m jaxvid.tools.retrieve`"
            )
        cosine = preds["text"] @ preds["video"]
        return recognized(cosine.reshape(len(names), -1), names, self.temperature, topk)

    def report(self, preds, ids, names):
        """Return a report with the features, the ranks of each video, and the worst videos."""
        metric = Ranks()
        metric.update(preds | {"mask": np.ones(len(ids))})
        by_text, by_video = metric.ranks()
        owner = np.nonzero(preds["text_mask"] > 0)[0]
        worst = [float(by_text[owner == i].max()) for i in range(len(ids))]
        rows = list(zip(ids, worst, by_video.tolist(), strict=True))
        arrays = {k: preds[k] for k in ("video", "text", "text_mask")}
        hardest = sorted(rows, key=lambda row: -row[1])[:5]
        listed = ", ".join(f"{name} (rank {rank:g})" for name, rank, _ in hardest)
        return Report(
            {
                "predictions.npz": dict(id=np.array(ids), **arrays),
                "ranks.csv": [("video", "rank_of_video_by_its_worst_text", "rank_of_text"), *rows],
            },
            [f"hardest to find: {listed}"],
        )


def sigmoid_loss(
    score: jax.Array, bias: jax.Array | None, same: jax.Array, mask: jax.Array
) -> jax.Array | None:
    """Return the loss of models for which each pair is right or wrong by itself.

    It is that of SigLIP (Zhai et al., 2023): the sum over the texts, averaged over the videos.

    Args:
      score: Scaled cosines (b, b) of videos and texts.
      bias: What the model adds to them; None for other models, whose result is None.
      same: 1 for pairs that are right, else 0 (b, b).
      mask: 1 for samples that count, else 0 (b,).
    """
    if bias is None:
        return None
    pairs = jax.nn.log_sigmoid((2 * same - 1) * (score + bias)) * mask
    return losses.masked_mean(-pairs.sum(1), mask)


def recognized(
    cosine: np.ndarray, names: tuple[str, ...], temperature: float, topk: int | None
) -> Recognized:
    """Return the `topk` (5) most likely of labels, by cosines (labels, n) with texts of each."""
    score = probabilities(cosine, temperature)
    order = np.argsort(-score, kind="stable")[: topk or 5]
    return Recognized(tuple(names[i] for i in order), tuple(score[order].tolist()))


def unit(x: jax.Array) -> jax.Array:
    """Scale vectors to length 1. Zeros are unchanged."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), 1e-24))


build = Retrieval
