"""Open questions about videos, answered by the best of a list of answers: VindLU.

Shapes: b batch, n right answers of a question, a possible answers, l tokens of a text.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jaxvid.config.values import Positive
from jaxvid.errors import UserError
from jaxvid.metrics.answers import Answers
from jaxvid.ops import augment, losses
from jaxvid.results import Recognized
from jaxvid.tasks.base import Judged, Report, SampleLabels


@dataclass(frozen=True, kw_only=True)
class QuestionAnswering:
    """Likelihood of the right answers; possible answers are ranked by theirs.

    The batch has `video` uint8 (b, 1, t, h, w, 3) and int32 tokens, padded with zeros: `question`
    (b, 1, l), in training `answer` (b, n, l) with the shares `answer_weight` (b, n) of the
    annotators, and in evaluation `candidates` (b, a, l) with their `credit` (b, a).

    Attributes:
      num_classes: Number of possible answers.
      mean: Mean of the pixel values 0..255, for each channel (RGB), or one for all.
      std: Standard deviation of the pixel values, for each channel, or one for all.
    """

    compares: ClassVar[bool] = False
    sample_labels: ClassVar[SampleLabels] = "other"
    label_shape: ClassVar[tuple[int, ...]] = ()

    num_classes: int
    mean: tuple[float, ...] = (128.0,)
    std: tuple[Positive, ...] = (128.0,)

    def prepare(self, rng, batch, train):
        return batch | {"video": augment.normalize(batch["video"], self.mean, self.std)}

    def inputs(self, batch):
        """Return the inputs, with the candidates of the first sample, which are those of all."""
        given = {key: batch[key] for key in ("question", "answer") if key in batch}
        if "candidates" in batch:
            given["candidates"] = batch["candidates"][:1]
        return {"video": batch["video"][:, 0], **given}

    def loss(self, out, batch):
        each = (out.loss * batch["answer_weight"]).sum(1)
        return losses.masked_mean(each, batch["mask"]), {}

    def predict(self, out, batch):
        """Return `score` (b, a), the probability of each answer, and `credit` (b, a)."""
        if out.score is None:
            raise UserError(
                "a question needs answers to choose from: give a sample with question and"
                " candidates"
            )
        preds = {"score": out.score, "label": batch["label"]}
        return preds | {key: batch[key] for key in ("credit",) if key in batch}

    def metrics(self):
        return [Answers()]

    def describe(self, preds, names, topk=None):
        """Return the `topk` (5) most likely answers of `names`."""
        order = np.argsort(-preds["score"], kind="stable")[: topk or 5]
        if len(names) != len(preds["score"]):
            names = tuple(f"answer {i + 1}" for i in range(len(preds["score"])))
        return Recognized(tuple(names[i] for i in order), tuple(preds["score"][order].tolist()))

    def report(self, preds, ids, names):
        """Return a report with the answer to each question, and the worst and best of them."""
        score, credit = preds["score"], preds["credit"]
        chosen = score.argmax(1)
        earned = np.take_along_axis(credit, chosen[:, None], 1)[:, 0]
        rows = [
            (name, names[answer], round(float(got), 4))
            for name, answer, got in zip(ids, chosen.tolist(), earned, strict=True)
        ]
        right = [" or ".join(names[i] for i in np.flatnonzero(row)[:3]) for row in credit]
        sure = score.max(1) * np.where(earned > 0, 1, -1)
        judged = [
            Judged(i, right[i], names[chosen[i]], float(score[i].max()))
            for i in np.argsort(sure, kind="stable").tolist()
        ]
        unknown = int((credit.max(1) == 0).sum())
        lines = [f"{unknown} of {len(ids)} questions have no right answer in the list of answers"]
        dump = dict(id=np.array(ids), answer=np.array(names)[chosen], credit=earned)
        files = {"predictions.npz": dump, "answers.csv": [("question", "answer", "credit"), *rows]}
        half = len(judged) // 2
        return Report(files, lines if unknown else [], judged[:half][:8], judged[half:][::-1][:8])


build = QuestionAnswering
