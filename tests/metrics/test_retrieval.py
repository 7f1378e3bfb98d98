"""Ranks of retrieval: published cases, naive loops, ties and several texts of a video."""

import numpy as np
import pytest

from jaxvid.metrics.retrieval import Retrieval, both_ways, ranks, summary
from tests.conftest import cases, logs


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("args,given,want,seed", cases("Retrieval"))
def test_published_cases(args, given, want, seed):
    if "topk" in args:  # hits of any target among the first k
        found = ranks(np.stack([np.linspace(0.95, 0.05, 10)] * 2), np.array(given["target"]) > 0)
        got = [100 * (found <= k).mean() for k in args["topk"]]
    else:
        rng = np.random.RandomState(0)  # `given` says how it was drawn
        video = rng.randn(20, 8)
        text = (video + 2 * rng.randn(20, 8)).astype(np.float32)
        found, _ = both_ways(unit(video.astype(np.float32)), unit(text), np.arange(20))
        values = summary(found)
        got = [100 * values[f"r{k}"] for k in (1, 5, 10)]
        got += [values["median_rank"], values["mean_rank"]]
        want = list(want.values())
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_ranks_are_those_of_a_sorted_list():
    rng = np.random.default_rng(0)
    score, target = rng.standard_normal((30, 12)), rng.random((30, 12)) < 0.2
    target[:, 3] |= ~target.any(1)
    want = [
        1 + min(i for i, c in enumerate(np.argsort(-s)) if t[c])
        for s, t in zip(score, target, strict=True)
    ]
    assert ranks(score, target).tolist() == want


def test_ties_count_half():
    """A model that gives one answer for all is no better than chance."""
    found = ranks(np.zeros((5, 5)), np.eye(5, dtype=bool))
    assert found.tolist() == [3.0] * 5
    assert summary(found)["r1"] == 0
    two = np.array([[True, True, False, False]])
    assert ranks(np.zeros((1, 4)), two).tolist() == [2.0]


def test_of_several_texts_the_best_counts_also_against_another_video():
    video = np.eye(3)
    text = np.array([[1, 0, 0.5], [0, 0.9, 0.5], [0, 0.8, 0.2], [0.3, 0.2, 0.9]], float)
    owner = np.array([0, 0, 1, 2])
    by_text, by_video = both_ways(video, text, owner)
    assert by_text.tolist() == [1, 3, 1, 1]
    # Video 1 is more like the second text of video 0 than like its own: both count once.
    assert by_video.tolist() == [1, 2, 1]


def test_batches_add_up_and_masked_rows_and_texts_do_not_count():
    rng = np.random.default_rng(0)
    video = unit(rng.standard_normal((6, 4))).astype(np.float32)
    text = unit(rng.standard_normal((6, 2, 4))).astype(np.float32)
    text_mask = np.array([[1, 1], [1, 0], [1, 1], [1, 0], [1, 1], [1, 1]], np.float32)
    mask = np.array([1, 1, 1, 1, 1, 0], np.float32)
    preds = dict(video=video, text=text, text_mask=text_mask, mask=mask)
    metric = Retrieval()
    for rows in (slice(0, 2), slice(2, 6)):
        metric.update({k: v[rows] for k, v in preds.items()})
    texts = [(i, text[i, j]) for i in range(5) for j in range(2) if text_mask[i, j]]
    want_t2v = [1 + sum(v @ t > video[i] @ t + 1e-6 for v in video[:5]) for i, t in texts]
    best = [[max(v @ t for j, t in texts if j == i) for i in range(5)] for v in video[:5]]
    want_v2t = [1 + sum(s > row[i] + 1e-6 for s in row) for i, row in enumerate(best)]
    by_text, by_video = metric.ranks()
    assert by_text.tolist() == want_t2v
    assert by_video.tolist() == want_v2t
    values = metric.compute()
    assert values["t2v_r1"] == np.mean(np.array(want_t2v) == 1)
    assert values["v2t_mean_rank"] == np.mean(want_v2t)
    assert values["v2t_median_rank"] == np.median(want_v2t)
    assert len(values) == 10
    ranks = {f"{way}_{kind}_rank" for way in ("t2v", "v2t") for kind in ("median", "mean")}
    assert set(metric.larger_is_better) == values.keys() - ranks


# Why recall is low


def reasons(video, text):
    metric = Retrieval()
    texts = len(text) // len(video)
    text = text.reshape(len(video), texts, -1)
    metric.update(
        dict(video=video, text=text, text_mask=np.ones(text.shape[:2]), mask=np.ones(len(video)))
    )
    with logs(r"t2v_r1 is \d") as caught:
        values = metric.compute()
    return caught[0], values


def features(count=60, seed=0):
    return unit(np.random.default_rng(seed).standard_normal((count, 8)))


def test_nan_is_never_right():
    found = ranks(np.full((5, 5), np.nan), np.eye(5, dtype=bool))
    assert found.tolist() == [3.0] * 5
    score = np.where(np.eye(5, dtype=bool), np.nan, 0.5)
    assert ranks(score, np.eye(5, dtype=bool)).tolist() == [5.0] * 5


def test_features_that_are_nan_are_counted():
    video = features()
    video[:50] = np.nan
    said, values = reasons(video, features(seed=1))
    assert "features of 50 of 60 videos are NaN or infinite" in said
    assert values["t2v_r1"] < 0.2


def test_features_that_are_all_the_same_are_named():
    said, values = reasons(np.repeat(features(1), 60, 0), features())
    assert "all videos have the same features" in said
    assert values["t2v_r1"] == 0


def test_texts_that_videos_share_are_counted():
    said, _ = reasons(features(), np.tile(features(3, seed=1), (20, 1)))
    assert "60 of 60 videos share a text with another one" in said


def test_what_has_no_reason_is_not_explained():
    metric = Retrieval()
    text = features(seed=1)[:, None]
    metric.update(dict(video=features(), text=text, text_mask=np.ones((60, 1)), mask=np.ones(60)))
    with logs() as caught:
        assert metric.compute()
    assert not caught
