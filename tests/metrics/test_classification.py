"""Classification metrics against small cases worked out with MMAction2 1.2 and by definition."""

import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.metrics import classification as m

SCORES = np.array(
    [
        [0.1, 0.2, 0.3, 0.4],
        [0.2, 0.3, 0.4, 0.1],
        [0.3, 0.4, 0.1, 0.2],
        [0.4, 0.1, 0.2, 0.3],
        [0.25, 0.1, 0.3, 0.35],
        [0.2, 0.15, 0.3, 0.35],
    ],
    np.float32,
)
LABELS = np.array([3, 2, 2, 1, 3, 3])
MULTI = np.array(
    [[0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 1]]
)


@pytest.mark.parametrize("k, expected", [(1, 4 / 6), (2, 4 / 6), (3, 4 / 6), (4, 1.0)])
def test_top_k_accuracy(k, expected):
    assert m.top_k_accuracy(SCORES, LABELS, k) == pytest.approx(expected)


def test_of_equal_scores_the_lower_class_is_better():
    scores = np.array([[1.0, 2.0, 2.0, 0.0]] * 4)
    assert m.top_k_hits(scores, np.array([0, 1, 2, 3]), 1).tolist() == [False, True, False, False]
    assert m.top_k_hits(scores, np.array([0, 1, 2, 3]), 2).tolist() == [False, True, True, False]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_scores_of_nan_are_never_right(k):
    nan = np.full((3, 3), np.nan, np.float32)
    assert m.top_k_accuracy(nan, np.array([0, 1, 2]), k) == 0
    assert m.mean_class_accuracy(nan, np.array([0, 0, 0])) == 0


@pytest.mark.parametrize(
    "scores, labels, expected",
    [
        (SCORES, LABELS, 0.375),
        ([[0.9, 0.1, 0], [0.1, 0.9, 0], [0.1, 0.9, 0]], [0, 0, 1], 0.75),  # 2 occurs nowhere
        ([[0.9, 0.1, 0], [0, 0.1, 0.9], [0.1, 0.9, 0]], [0, 0, 1], 0.5),  # 2 is only predicted
    ],
)
def test_mean_class_accuracy(scores, labels, expected):
    assert m.mean_class_accuracy(np.array(scores), np.array(labels)) == pytest.approx(expected)


def test_top_k_classes():
    assert m.top_k_classes(SCORES, LABELS, 3) == [(3, 1.0), (2, 0.5), (1, 0.0)]
    labels = np.array([3, 2, 1, 1, 3, 0])
    assert m.top_k_classes(SCORES, labels, 3, worst=True) == [(0, 0.0), (1, 0.5), (2, 1.0)]


@pytest.mark.parametrize(
    "normalize, expected",
    [
        (None, [[1, 0, 0], [1, 1, 0], [0, 1, 2]]),
        ("true", [[1, 0, 0], [1 / 2, 1 / 2, 0], [0, 1 / 3, 2 / 3]]),
        ("pred", [[1 / 2, 0, 0], [1 / 2, 1 / 2, 0], [0, 1 / 2, 1]]),
        ("all", [[1 / 6, 0, 0], [1 / 6, 1 / 6, 0], [0, 1 / 6, 2 / 6]]),
    ],
)
def test_confusion_matrix(normalize, expected):
    pred, label = np.array([0, 2, 2, 5, 5, 0]), np.array([0, 2, 5, 5, 5, 2])
    matrix = m.confusion_matrix(pred, label, 6, normalize)
    occurring = [0, 2, 5]
    np.testing.assert_allclose(matrix[np.ix_(occurring, occurring)], expected, rtol=1e-12)
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
    scores, truth = np.array([0.1, 0.4, 0.35, 0.8, 0.4]), np.array([0, 0, 1, 1, 1])
    precision, recall, thresholds = m.precision_recall_curve(scores, truth)
    np.testing.assert_allclose(precision, [3 / 4, 2 / 3, 1, 1])
    np.testing.assert_allclose(recall, [1, 2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(thresholds, [0.35, 0.4, 0.8])


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
    assert m.mean_average_precision(SCORES, MULTI) == pytest.approx(0.88333333, abs=1e-8)
    assert m.sample_mean_average_precision(SCORES, MULTI) == pytest.approx(0.97222222, abs=1e-8)


def test_classes_and_samples_without_a_positive_do_not_count():
    scores = np.hstack([SCORES, SCORES[:, :1]])
    labels = np.hstack([MULTI, np.zeros((6, 1), int)])
    assert m.mean_average_precision(scores, labels) == m.mean_average_precision(SCORES, MULTI)
    assert m.sample_mean_average_precision(scores.T, labels.T) == m.mean_average_precision(
        SCORES, MULTI
    )
    assert np.isnan(m.mean_average_precision(SCORES, np.zeros_like(MULTI)))


def test_weighted_score():
    a, b = np.array([[0.1, 0.9], [0.4, 0.6]]), np.array([[0.5, 0.5], [0.2, 0.8]])
    np.testing.assert_allclose(m.weighted_score([a, b], [2, 1]), [[0.7, 2.3], [1.0, 2.0]])
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
