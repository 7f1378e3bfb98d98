"""Peaks, soft non-maximum suppression and BSN's features against loops and published values."""

import json
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.ops import proposals
from tests.conftest import CASES


def rows_of(case):
    given = CASES[case]["input"]
    if "proposals" in given:
        return np.array(given["proposals"])
    random = np.random.RandomState(0)  # what the case says in words
    pairs = np.sort(random.rand(12, 2))
    return np.concatenate([pairs, random.rand(12, 4)], 1)


@pytest.mark.parametrize("case", ["Localization-04", "Localization-05"])
def test_published_soft_nms(case):
    rows, args = rows_of(case), dict(CASES[case]["args"])
    keep = args.pop("top_k")
    segments, scores = proposals.soft_nms(rows[:, :2], rows[:, -1], keep=keep, **args)
    want = np.array(CASES[case]["expected"])
    np.testing.assert_allclose(np.column_stack([segments, scores]), want, atol=1e-8)


@pytest.mark.parity
def test_soft_nms_of_the_goldens():
    folder = os.environ.get("JAXVID_GOLDENS")
    if not folder:
        pytest.skip("JAXVID_GOLDENS names no folder of golden outputs")
    found = 0
    for record in json.loads(Path(folder, "losses.json").read_text()):
        name, *words = record["name"].split()
        if name == "soft_nms":
            args = {k: float(v) for k, v in (word.split("=") for word in words)}
            keep, rows = int(args.pop("top_k")), np.array(record["inputs"]["proposals"])
            pair = proposals.soft_nms(rows[:, :2], rows[:, 2], keep=keep, **args)
            np.testing.assert_allclose(np.column_stack(pair), record["value"], atol=1e-6)
            found += 1
    assert found == 2


def naive_nms(segments, scores, alpha, low, high):
    """A pair at a time; all are taken."""
    left, taken = list(zip(segments.tolist(), scores.tolist(), strict=True)), []
    while left:
        best = max(left, key=lambda row: row[1])
        left.remove(best)
        taken.append(best)
        (a, b), _ = best
        for i, ((c, d), score) in enumerate(left):
            shared = max(0, min(b, d) - max(a, c))
            overlap = shared / (b - a + d - c - shared)
            if overlap > low + (high - low) * (b - a):
                left[i] = [c, d], score * np.exp(-(overlap**2) / alpha)
    return taken


@pytest.mark.parametrize("low,high", [(0.5, 0.9), (0.0, 0.6), (0.0, 0.0)])
def test_soft_nms_against_loops(low, high):
    """The threshold grows with the segment that was taken."""
    rng = np.random.default_rng(0)
    segments = np.sort(rng.random((40, 2)), 1)
    scores = rng.random(40)
    scores[7] = 0.0  # taken once, too
    want = naive_nms(segments, scores, 0.4, low, high)
    found = proposals.soft_nms(segments, scores, alpha=0.4, low=low, high=high)
    np.testing.assert_allclose(found[0], [row[0] for row in want])
    np.testing.assert_allclose(found[1], [row[1] for row in want])


def test_soft_nms_leaves_its_arguments_alone_and_takes_none():
    segments, scores = np.array([[0, 0.5], [0, 0.49]]), np.array([1.0, 0.9])
    proposals.soft_nms(segments, scores)
    assert scores.tolist() == [1.0, 0.9]
    segments, scores = proposals.soft_nms(np.zeros((0, 2)), np.zeros(0))
    assert segments.shape == (0, 2)
    assert scores.shape == (0,)


def naive_peaks(scores, threshold):
    def peak(before, here, after):
        return before < here > after or here > threshold * max(scores)

    return [False, *map(peak, scores, scores[1:-1], scores[2:]), False]


@pytest.mark.parametrize("kind", [np.array, jnp.array])
def test_peaks(kind):
    rng = np.random.default_rng(0)
    scores = rng.random((5, 20)).astype(np.float32) ** 3
    scores[0, 3:5] = scores[0, 3]  # neither of two equal neighbors is a maximum
    found = proposals.peaks(kind(scores), 0.6)
    assert np.asarray(found).tolist() == [naive_peaks(row, np.float32(0.6)) for row in scores]


@pytest.fixture
def data():
    folder = os.environ.get("JAXVID_DATA")
    if not folder:
        pytest.skip("JAXVID_DATA names no folder of published data")
    return Path(folder)


def table(path):
    return np.loadtxt(path, delimiter=",", skiprows=1)


@pytest.mark.parametrize("video", ["v_test1", "v_test2"])
def test_published_boundary_pairs(data, video):
    case = CASES["Localization-06"]
    info = next(v for v in case["input"]["video_infos"] if v["video_name"] == video)
    scores = table(data / "tem_results" / f"{video}.csv")[: case["args"]["temporal_scale"]]
    found = proposals.pair_boundaries(scores[:, 1], scores[:, 2], case["args"]["peak_threshold"])
    # The case takes the first five of ten bins, so that the fifth is no end of the video there.
    found = found[found[:, 1] < 0.9]
    seconds = info["feature_frame"] / info["duration_frame"] * info["duration_second"]
    truth = np.array([a["segment"] for a in info["annotations"]]) / seconds
    matches = proposals.best_matches(found[:, :2], truth)
    want = case["expected"][video]
    np.testing.assert_allclose(np.column_stack([found, matches]), want, atol=1e-7)


@pytest.mark.parametrize("video", ["v_test1", "v_test2"])
def test_published_boundary_features(data, video):
    case = CASES["Localization-07"]
    action = table(data / "tem_results" / f"{video}.csv")[:, 0]
    segments = table(data / "proposals" / f"{video}.csv")[: case["args"]["top_k"], :2]
    found = proposals.boundary_features(segments, action)
    np.testing.assert_allclose(found, case["expected"][video], atol=1e-7)


def test_pairs_end_after_they_start():
    found = proposals.pair_boundaries(np.ones(4), np.ones(4))
    assert len(found) == 6
    assert (found[:, 0] < found[:, 1]).all()
    low = np.array([0.1, 0.9, 0.1, 0.1])
    assert proposals.pair_boundaries(low, low)[:, :2].tolist() == [  # with both ends of the video
        [0.125, 0.375],
        [0.375, 0.875],
        [0.125, 0.875],
    ]
