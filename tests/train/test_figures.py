"""The figures of an evaluation and of a batch."""

import json
from typing import Any

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.data.video.containers import VideoError
from jaxvid.tasks import recognition
from jaxvid.tasks.base import Judged, Report
from jaxvid.train import figures

NAMES = ("run", "sit", "jump")


class Clips:
    """A source whose sample i is of brightness 50 + i; the third cannot be read."""

    def __getitem__(self, index) -> dict[str, Any]:
        return {"label": index % 3, "number": index}

    def id(self, index):
        return f"folder/{index}.mp4"


def decode(sample, rng):
    if sample["number"] == 3:
        raise VideoError("3.mp4", "it is broken")
    video = np.full((2, 8, 60, 100, 3), 50 + sample["number"], np.uint8)
    return sample | {"video": video}


PIPELINE: list = [decode]
JUDGED = [Judged(0, "run", "sit", 0.9), Judged(2, "jump", "run", 0.5)]
CONFUSION = {
    "confusion.csv": [("true", *NAMES), ("run", 1, 2, 0), ("sit", 0, 3, 0), ("jump", 0, 0, 0)]
}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "eval").mkdir()
    lines = ({"step": s, "train/loss": 1.0 / s, "val/top1": 0.1 * s} for s in (1, 2))
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_an_evaluation_leaves_its_figures(run):
    report = Report(CONFUSION, worst=JUDGED, best=JUDGED[:1])
    shown = figures.of_test(run, PIPELINE, Clips(), np.array([5, 6, 7]), report)
    assert set(shown) == {"curves", "confusion", "worst", "best"}
    for name, pixels in shown.items():
        stored = cv2.imread(str(run / "eval" / f"{name}.png"))
        np.testing.assert_array_equal(stored[..., ::-1], pixels)
    examples = json.loads((run / "eval/examples.json").read_text())
    first, second = examples["worst"]
    assert (first["id"], first["true"], first["predicted"]) == ("folder/5.mp4", "run", "sit")
    assert second["id"] == "folder/7.mp4" and len(examples["best"]) == 1
    for entry, level in ((first, 55), (second, 57)):
        x, y, w, h = entry["box"]
        strip = shown["worst"][y : y + h, x : x + w]
        assert strip.shape[0] == 60 and (strip[30, 50::104] == level).all()


def test_figures_of_an_earlier_evaluation_go(run):
    figures.of_test(run, PIPELINE, Clips(), np.arange(3), Report(CONFUSION, worst=JUDGED))
    (run / "metrics.jsonl").unlink()
    assert figures.of_test(run, PIPELINE, Clips(), np.arange(3), Report({})) == {}
    assert [path.name for path in (run / "eval").iterdir()] == ["examples.json"]


def test_clips_that_cannot_be_read_are_left_out_of_the_sheet(run):
    worst = [Judged(0, "run", "sit", 0.9), *JUDGED]
    shown = figures.of_test(run, PIPELINE, Clips(), np.array([3, 4, 5]), Report({}, worst=worst))
    entries = json.loads((run / "eval/examples.json").read_text())["worst"]
    assert ["box" in entry for entry in entries] == [False, False, True]
    assert set(shown) == {"curves", "worst"}
    others: list = [lambda sample, rng: sample]  # skeletons, features
    shown = figures.of_test(run, others, Clips(), np.arange(3), Report({}, worst=JUDGED))
    assert set(shown) == {"curves"}


def test_worst_and_best_are_by_the_score_of_the_true_class():
    score = np.array([[0.8, 0.1, 0.1], [0.2, 0.3, 0.5], [0.0, 0.9, 0.1], [0.1, 0.2, 0.7]])
    worst, best = recognition.examples(score, np.array([0, 1, 2, 2]), NAMES)
    assert worst == [Judged(2, "jump", "sit", 0.9), Judged(1, "sit", "jump", 0.5)]
    assert [judged.row for judged in best] == [0, 3]
    several = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1], [0, 0, 1]])
    worst, best = recognition.examples(score, several, NAMES)
    assert worst == [Judged(0, "run, sit", "run", 0.8), Judged(2, "sit, jump", "sit", 0.9)]
    assert best == [Judged(3, "jump", "jump", 0.7), Judged(2, "sit, jump", "sit", 0.9)]
    assert recognition.examples(score[:0], np.zeros(0, int), NAMES) == ([], [])


def test_a_batch_as_a_sheet():
    video = np.arange(10, dtype=np.uint8)[:, None, None, None, None, None]
    batch = {"video": np.broadcast_to(video + 50, (10, 1, 8, 60, 100, 3))}
    batch |= {"label": np.arange(10) % 3, "mask": np.ones(10)}
    sheet = figures.of_batch({k: jnp.asarray(v) for k, v in batch.items()}, NAMES)
    assert sheet is not None and sheet.shape[1] == 4 * 104
    levels = sheet[:, 50, 0]
    assert [int((levels == 50 + i).sum()) for i in range(9)] == [60] * 8 + [0]
    flow = {"video": jnp.zeros((2, 1, 4, 60, 100, 2), jnp.uint8), "label": jnp.eye(3)[:2]}
    assert figures.of_batch(flow, NAMES) is not None
    assert figures.of_batch({"keypoint": jnp.zeros((2, 3))}, NAMES) is None
    assert figures.of_batch({"video": jnp.zeros((2, 3), jnp.float32)}, NAMES) is None


def test_classes_by_name():
    assert figures.classes(np.int32(1), NAMES) == "sit"
    assert figures.classes(np.array([1, 0, 1]), NAMES) == "run, jump"
    assert figures.classes(np.int32(7), NAMES) == ""
