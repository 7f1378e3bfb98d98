"""Classification metrics against MMAction2's published cases and by definition."""

import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.metrics import classification as m
from tests.conftest import CASES


def scored(name):
    """Scores and labels of a case."""
    given = CASES[name]["input"]
    return np.array(given["scores"], np.float32), np.array(given["labels"])


SCORES, LABELS = scored("Metrics-01")
MULTI = scored("Metrics-07")[1]


def test_top_k_accuracy():
    case = CASES["Metrics-01"]
    found = [m.top_k_accuracy(SCORES, LABELS, k) for k in case["args"]["topk"]]
    assert found == pytest.approx(case["expected"])
    assert m.top_k_accuracy(SCORES, LABELS, 4) == 1


def test_of_equal_scores_the_lower_class_is_better():
    scores = np.array([[1.0, 2.0, 2.0, 0.0]] * 4)
    assert m.top_k_hits(scores, np.array([0, 1, 2, 3]), 1).tolist() == [False, True, False, False]
    assert m.top_k_hits(scores, np.array([0, 1, 2, 3]), 2).tolist() == [False, True, True, False]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_scores_of_nan_are_never_right(k):
    nan = np.full((3, 3), np.nan, np.float32)
    assert m.top_k_accuracy(nan, np.array([0, 1, 2]), k) == 0
    assert m.mean_class_accuracy(nan, np.array([0, 0, 0])) == 0


@pytest.mark.parametrize("name", ["Metrics-02", "Metrics-03", "Metrics-04"])
def test_mean_class_accuracy(name):
    assert m.mean_class_accuracy(*scored(name)) == pytest.approx(CASES[name]["expected"])


@pytest.mark.parametrize("name", ["Metrics-05", "Metrics-06"])
def test_top_k_classes(name):
    args = CASES[name]["args"]
    found = m.top_k_classes(*scored(name), args["k"], worst=args["mode"] == "inaccurate")
    assert found == [tuple(row) for row in CASES[name]["expected"]]


@pytest.mark.parametrize("name", ["Metrics-10", "Metrics-11", "Metrics-12", "Metrics-13"])
def test_confusion_matrix(name):
    given, expected = CASES[name]["input"], CASES[name]["expected"]
    pred, label = np.array(given["pred"]), np.array(given["real"])
    matrix = m.confusion_matrix(pred, label, 6, CASES[name]["args"]["normalize"])
    occurring = np.unique(np.concatenate([pred, label]))
    np.testing.assert_allclose(matrix[np.ix_(occurring, occurring)], expected, rtol=1e-7)
    assert matrix.sum() == pytest.approx(np.sum(expected))  # and nothing, not even NaN, elsewhere


def test_labels_out_of_range_are_an_error():
    with pytest.raises(UserError, match=r"label 4 of sample 1 is outside 0\.\.3"):
        m.top_k_accuracy(SCORES[:2], np.array([0, 4]))
    with pytest.raises(UserError, match="prediction -1 of sample 0"):
        m.confusion_matrix(np.array([-1]), np.array([0]), 3)


def test_per_class_report():
    a, b, c, d = m.per_class_report(SCORES, LABELS, ["run", "sit", "eat", "nap"])
    assert (a.name, a.n, a.precision, a.confusion) == ("run", 0, 0.0, "")
    assert np.isnan(a.recall)
    assert b == ("sit", 1, 0.0, 0.0, "run", 1)
    assert c == ("eat", 2, 0.5, 1.0, "sit", 1)
    assert d == ("nap", 3, 1.0, 1.0, "", 0)
    assert m.per_class_report(SCORES, LABELS)[2].confusion == "1"
    with pytest.raises(UserError, match="3 class names for 4 classes"):
        m.per_class_report(SCORES, LABELS, ["a", "b", "c"])


def test_precision_recall_curve():
    given = CASES["Metrics-09"]["input"]
    found = m.precision_recall_curve(np.array(given["y_score"]), np.array(given["y_true"]))
    for array, expected in zip(found, CASES["Metrics-09"]["expected"], strict=True):
        np.testing.assert_allclose(array, expected)


def test_average_precision_is_its_definition():
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, truth = rng.integers(0, 12, 40) / 12, rng.random(40) < 0.3  # many ties
        area, before = 0.0, 0.0
        for threshold in sorted(set(scores), reverse=True):
            chosen = scores >= threshold
            recall = (chosen & truth).sum() / truth.sum()
            area += (recall - before) * (chosen & truth).sum() / chosen.sum()
            before = recall
        assert m.average_precision(scores, truth) == pytest.approx(area, abs=1e-12)


def test_mean_average_precision():
    for name, function in (
        ("Metrics-07", m.mean_average_precision),
        ("Metrics-08", m.sample_mean_average_precision),
    ):
        assert function(*scored(name)) == pytest.approx(CASES[name]["expected"], abs=1e-8)


def test_classes_and_samples_without_a_positive_do_not_count():
    scores = np.hstack([SCORES, SCORES[:, :1]])
    labels = np.hstack([MULTI, np.zeros((6, 1), int)])
    assert m.mean_average_precision(scores, labels) == m.mean_average_precision(SCORES, MULTI)
    assert m.sample_mean_average_precision(scores.T, labels.T) == m.mean_average_precision(
        SCORES, MULTI
    )
    assert np.isnan(m.mean_average_precision(SCORES, np.zeros_like(MULTI)))


def test_weighted_score():
    case = CASES["Metrics-22"]
    a, b = (np.array(case["input"][key]) for key in ("a", "b"))
    np.testing.assert_allclose(m.weighted_score([a, b], case["args"]["coeff"]), case["expected"])
    with pytest.raises(UserError, match="2 scores"):
        m.weighted_score([a, b], [1])


def batches(scores, labels, size=4):
    """Batches of `size`, the last one padded with rows that would change every metric."""
    for start in range(0, len(scores), size):
        score, label = scores[start : start + size], labels[start : start + size]
        pad = size - len(score)
        yield {
            "score": np.concatenate([score, np.full((pad, score.shape[1]), np.nan, np.float32)]),
            "label": np.concatenate([label, np.ones((pad, *label.shape[1:]), label.dtype)]),
            "index": np.arange(start, start + size),
            "mask": np.arange(size) < len(score),
        }


def test_accuracy_counts_every_unmasked_row_once():
    metric = m.Accuracy(4, topk=(1, 3, 5))
    for batch in batches(SCORES, LABELS):
        metric.update(batch)
    values = metric.compute()
    assert values == pytest.approx({"top1": 4 / 6, "top3": 4 / 6, "mean_class": 0.375})
    assert metric.larger_is_better == tuple(values)


def test_accuracy_reports_top5_of_more_than_five_classes():
    rng = np.random.default_rng(0)
    scores, labels = rng.random((50, 6), np.float32), rng.integers(0, 6, 50)
    metric = m.Accuracy(6)
    for batch in batches(scores, labels):
        metric.update(batch)
    in_order = np.argsort(-scores, axis=1)
    values = metric.compute()
    assert values["top1"] == pytest.approx(np.mean(in_order[:, 0] == labels))
    assert values["top5"] == pytest.approx(np.mean((in_order[:, :5] == labels[:, None]).any(1)))
    assert set(m.Accuracy(1).topk) == {1}


def test_multi_label_map():
    metric = m.MultiLabelMAP(4)
    for batch in batches(SCORES, MULTI.astype(np.float32)):
        metric.update(batch)
    expected = {"map": 0.88333333, "mmit_map": 0.97222222}
    assert metric.compute() == pytest.approx(expected, abs=1e-8)


def test_scores_are_kept_as_float32():
    """Two that differ in float64 alone are equal, and of equal ones the lower class is first."""
    metric = m.Accuracy(2)
    score = np.array([[0.5, 0.5 + 1e-12]])
    metric.update({"score": score, "label": np.array([0]), "mask": np.ones(1)})
    assert metric.compute()["top1"] == 1


def test_wrong_class_count_and_no_sample_are_errors():
    batch = {"score": SCORES, "label": LABELS, "mask": np.zeros(6)}
    with pytest.raises(UserError, match=r"scores 4 classes, the metric expects 7.*num_classes"):
        m.Accuracy(7).update(batch)
    metric = m.Accuracy(4)
    metric.update(batch)
    with pytest.raises(UserError, match="nothing to evaluate"):
        metric.compute()
