"""Metrics of temporal localization against published values and loops over their definitions."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.metrics import localization as m
from tests.conftest import CASES, logs


def array(rows, width):
    return np.array(rows, float).reshape(-1, width)


# Recall


def test_published_recall_of_two_videos():
    case = CASES["Metrics-17"]
    truth = [array(rows, 2) for rows in case["input"]["gt"].values()]
    found = [array(rows, 3) for rows in case["input"]["proposals"].values()]
    recall = m.average_recall(truth, found)
    assert recall.mean[[48, 50, 99]].tolist() == case["expected"]["avg_recall_48_50_99"]
    assert 100 * recall.auc == pytest.approx(case["expected"]["auc"])
    assert recall.count[-1] == case["expected"]["ppv_last"]


def test_nothing_right_is_recalled():
    """The published toy set whose AUC is 0."""
    truth, found = [array([[0, 1]], 2)] * 2, [array([[2, 3, 1]], 3)] * 2
    assert m.average_recall(truth, found).auc == 0


def test_published_recall_of_a_hundred_proposals():
    want = CASES["Metrics-18"]["expected"]
    found = array([[i, i + 1, 1 / (i + 1)] for i in range(100)], 3)
    recall = m.average_recall([array([[0, 1]], 2)], [found])
    assert recall.mean[0] == want["avg_recall_0"]
    assert 100 * recall.auc == pytest.approx(want["auc"])
    assert recall.count[[0, -1]].tolist() == [want["ppv_first"], want["ppv_last"]]


def random_videos():
    random, truth, found = np.random.RandomState(0), [], []  # as Metrics-19 says in words
    for _ in range(5):
        segments = np.sort(random.rand(3, 2) * 100)
        proposals = np.sort(random.rand(30, 2) * 100)
        proposals[:3] = segments + random.randn(3, 2)
        truth.append(segments)
        found.append(np.column_stack([proposals, random.rand(30, 1)]))
    return truth, found


def test_published_recall_of_random_videos():
    want = CASES["Metrics-19"]["expected"]
    recall = m.average_recall(*random_videos(), limit=100)
    assert 100 * recall.auc == pytest.approx(want["auc"], abs=1e-6)
    for k in (1, 5, 10, 100):
        assert recall.at(k) == pytest.approx(want[f"AR{k}"], abs=1e-7)


def test_videos_give_the_same_share_of_their_proposals():
    """Four proposals a video on average: eight of the sixteen, none of the empty one's."""
    truth = [array([[i, i + 1] for i in range(16)], 2), array([[0, 1]], 2)]
    found = [array([[i, i + 1, 1 - i / 16] for i in range(16)], 3), array([], 3)]
    recall = m.average_recall(truth, found, limit=4)
    assert recall.mean[-1] == pytest.approx(8 / 17)
    assert recall.mean[49] == pytest.approx(4 / 17)
    assert recall.count[-1] == 4


def test_recall_counts_the_best_proposals_first():
    truth = [array([[0, 1], [5, 9]], 2)]
    found = [array([[3, 4, 0.9], [5, 9, 0.8], [0, 1, 0.1]], 3)]
    recall = m.average_recall(truth, found, limit=3)
    assert recall.mean[[32, 33, 66, 67, 99]].tolist() == [0, 0, 0.5, 0.5, 1]
    none = m.average_recall(truth, [array([], 3)], limit=3)
    assert none.mean.tolist() == [0] * 100


# Precision


def test_published_interpolation():
    given = CASES["Metrics-20"]["input"]
    found = m.interpolated_precision(np.array(given["precision"]), np.array(given["recall"]))
    assert found == pytest.approx(CASES["Metrics-20"]["expected"])


def test_published_average_precision():
    given = CASES["Metrics-21"]["input"]
    videos = ("v1", "v2", "v3")
    truth = [array(given["gt"].get(v, []), 2) for v in videos]
    found = [array([row[2:] for row in given["pred"] if row[0] == v], 3) for v in videos]
    want = CASES["Metrics-21"]["expected"]
    np.testing.assert_allclose(m.average_precision(truth, found), want, atol=1e-7)


def test_published_map_of_activitynet_files():
    folder = os.environ.get("JAXVID_DATA")
    if not folder:
        pytest.skip("JAXVID_DATA names no folder of published data")
    given, want = (CASES["ActivityNet-01"][key] for key in ("input", "expected"))
    names = (given[key].replace("tests/data/", "eval/") for key in ("gt", "pred"))
    gt, pred = (json.loads(Path(folder, name).read_text()) for name in names)

    def of_class(rows, label, keys):
        return [[*row["segment"], *(row[k] for k in keys)] for row in rows if row["label"] == label]

    values = []
    for label in {row["label"] for video in gt.values() for row in video["annotations"]}:
        truth = [array(of_class(v["annotations"], label, ()), 2) for v in gt.values()]
        rows = (pred["results"][video.removeprefix("v_")] for video in gt)
        found = [array(of_class(r, label, ("score",)), 3) for r in rows]
        values.append(m.average_precision(truth, found))
    np.testing.assert_allclose(np.mean(values, 0), want["mAP"], atol=1e-7)
    assert np.mean(values) == pytest.approx(want["average_mAP"], abs=1e-7)


def naive_precision(truth, found, threshold):
    """Of one class: area under the interpolated curve, a detection and a segment at a time."""
    rows = [(score, v, a, b) for v, each in enumerate(found) for a, b, score in each]
    taken, right = set(), []
    for _, v, a, b in sorted(rows, reverse=True):
        best, who = threshold, None
        for k, (c, d) in enumerate(truth[v]):
            shared = max(0, min(b, d) - max(a, c))
            overlap = shared / (b - a + d - c - shared)
            if overlap >= best and (v, k) not in taken:
                best, who = overlap, (v, k)
        right.append(who is not None)
        taken.add(who)
    total, curve = sum(map(len, truth)), []
    for i in range(1, len(rows) + 1):
        curve.append((sum(right[:i]) / i, sum(right[:i]) / total))
    area, before = 0.0, 0.0
    for i, (_, recall) in enumerate(curve):
        area += (recall - before) * max(p for p, _ in curve[i:])
        before = recall
    return area


def test_average_precision_against_loops():
    truth, found = random_videos()
    truth[3] = truth[3][:0]
    values = m.average_precision(truth, found, np.array([0.3, 0.5, 0.8]))
    want = [naive_precision(truth, found, t) for t in (0.3, 0.5, 0.8)]
    assert 0 < want[2] < want[1] < want[0] < 1
    np.testing.assert_allclose(values, want)


def test_a_segment_is_found_once():
    truth, found = [array([[0, 4]], 2)], [array([[0, 4, 0.9], [0, 4, 0.8]], 3)]
    assert m.average_precision(truth, found).tolist() == [1] * 10
    found[0][0] = [5, 9, 0.9]  # the best is wrong
    assert m.average_precision(truth, found).tolist() == pytest.approx([0.5] * 10)
    assert np.isnan(m.average_precision([array([], 2)], found)).all()


# Of batches


def batch(mask=(1, 1, 1)):
    """Three videos: of class 0 with two segments, of class 2, and without a segment."""
    return {
        "segments": np.array([[[0, 2], [4, 8]], [[1, 5], [0, 0]], [[0, 0], [0, 0]]], np.float32),
        "segment_label": np.array([[0, 0], [2, -1], [-1, -1]]),
        "mask": np.array(mask, np.float32),
        "row": np.arange(3),
    }


PROPOSALS = (
    array([[0, 2, 0.9], [4, 7, 0.8], [20, 21, 0.1]], 3),
    array([[6, 7, 0.9], [1, 5, 0.2]], 3),
    array([[0, 9, 0.9]], 3),
)


def metric():
    return m.ProposalMetrics(lambda sample: PROPOSALS[sample["row"]], num_classes=3, limit=3)


def test_all_metrics_of_a_batch():
    found = metric()
    found.update(batch())
    values = found.compute()
    assert found.larger_is_better == tuple(values)
    truth = [video.true_segments for video in found.videos[:2]]
    recall = m.average_recall(truth, list(PROPOSALS[:2]), 3)
    assert values["ar100"] == recall.mean[-1] == pytest.approx((10 + 6 + 10) / 30)
    assert values["auc"] == pytest.approx(recall.auc)
    # Class 0: [4, 7] is right up to 0.75; class 2: the second is right; class 1 does not occur.
    assert values["map50"] == pytest.approx((1 + 0.5) / 2)
    assert values["map95"] == pytest.approx((0.5 + 0.5) / 2)
    assert values["map"] == pytest.approx(((6 + 4 * 0.5) / 10 + 0.5) / 2)
    assert 0 <= min(values.values()) <= max(values.values()) <= 1


def test_a_row_a_class():
    found = metric()
    found.update(batch())
    one, none, other = found.per_class(("jump", "run", "fall"))
    assert (one.name, one.n, one.ar) == ("jump", 2, pytest.approx(16 / 20))
    assert (one.ap50, one.ap75, one.ap95) == (1, 1, 0.5)
    assert other[1:] == (1, 1, 0.5, 0.5, 0.5, 0.5)
    assert none.n == 0
    assert all(map(np.isnan, none[2:]))


def test_masked_videos_do_not_count():
    found, want = metric(), metric()
    found.update(batch(mask=(1, 0, 1)))
    want.update({key: value[[0, 2]] for key, value in batch().items()})
    assert found.compute() == want.compute()


def test_no_segment_at_all_is_an_error():
    found = metric()
    found.update(batch(mask=(0, 0, 1)))
    with pytest.raises(UserError, match="no video of the split has a segment"):
        found.compute()


def test_random_proposals_lie_within_the_video():
    found = m.random_proposals(np.random.default_rng(0), 1000, 30.0)
    assert (found[:, 0] < found[:, 1]).all()
    assert 0 <= found[:, :2].min() < 1
    assert 29 < found[:, :2].max() <= 30


# Why recall is low


def reasons(proposals, truth=((10, 12), (20, 22))):
    """Of four videos with the same proposals and true segments."""
    found = m.ProposalMetrics(lambda sample: proposals, 1)
    found.update(
        dict(
            segments=np.array([truth] * 4, float),
            segment_label=np.zeros((4, 2), int),
            mask=np.ones(4),
        )
    )
    with logs(r"AUC is [0-4]\.\d+%") as caught:
        found.compute()
    return caught[0]


def test_videos_without_a_proposal_are_counted():
    assert "4 of 4 videos have no proposal" in reasons(np.zeros((0, 3)))


def test_scores_that_are_nan_are_counted():
    said = reasons(np.array([[1, 2, np.nan]]))
    assert "proposals of 4 of 4 videos have scores that are NaN or infinite" in said


def test_segments_in_frames_are_named():
    assert "100% of the true segments start after the end of the last" in reasons(
        np.array([[1, 2, 0.9]]), truth=((100, 120), (250, 260))
    )
