"""Overlaps of segments, and what a localizer learns of them, against loops and published values."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.ops import segments
from tests.conftest import cases


def overlap(a, b, c, d):
    return max(0.0, min(b, d) - max(a, c))


@pytest.mark.parametrize(
    "function,case", [(segments.iou, "Localization-02"), (segments.coverage, "Localization-03")]
)
@pytest.mark.parametrize("kind", [np.array, jnp.array])
def test_published_overlaps(function, case, kind):
    (given, expected) = next(c.values[1:3] for c in cases("Localization") if c.id == case)
    proposals = kind(np.stack([given["min"], given["max"]], -1).astype(np.float32))
    found = function(proposals, kind(given["box"]))
    assert isinstance(found, type(proposals))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("case", ["Metrics-14", "Metrics-15", "Metrics-16"])
def test_published_pairs(case):
    args, given, expected = next(c.values[:3] for c in cases("Metrics") if c.id == case)
    candidate, target = np.array(given["candidate"]), np.array(given["target"])
    other = target[:, None] if candidate.ndim > 1 else target
    found = segments.iou(other, candidate)
    if args["calculate_overlap_self"]:
        found = np.stack([found, segments.coverage(candidate, other)])
    np.testing.assert_allclose(found, expected)


def naive_targets(truth, t):
    """Of one video, a cell and a bin at a time, in float64."""
    best = np.zeros((t, t))
    start, end = np.zeros(t), np.zeros(t)
    for a, b in truth:
        for d in range(t):
            for s in range(t):
                c, e = s / t, (s + d + 1) / t
                shared = overlap(a, b, c, e)
                best[d, s] = max(best[d, s], shared / (b - a + e - c - shared))
        for i in range(t):
            for side, at in ((start, a), (end, b)):
                shared = overlap(i / t, (i + 1) / t, at - 1.5 / t, at + 1.5 / t)
                side[i] = max(side[i], shared * t)
    return best, start, end


def targets(truth, present, t):
    jitted = jax.jit(segments.boundary_targets, static_argnums=2)
    return jax.device_get(jitted(truth.astype(np.float32), present, t))


def test_targets_against_loops():
    truth = np.array([[[0.1, 0.33], [0.5, 1.0], [0, 0]], [[0.0, 0.04], [0.7, 0.9], [0.72, 0.75]]])
    present = np.array([[1, 1, 0], [1, 1, 1]])
    found = targets(truth, present, 12)
    for row in range(2):
        wanted = naive_targets(truth[row][present[row] > 0], 12)
        for got, want in zip(found, wanted, strict=True):
            np.testing.assert_allclose(got[row], want, atol=2e-6)


def test_a_video_without_segments_has_targets_of_zero():
    found = targets(np.zeros((2, 3, 2)), np.zeros((2, 3)), 12)
    assert not any(np.any(x) for x in found)


@pytest.mark.parity
def test_targets_of_the_published_model():
    folder = os.environ.get("JAXVID_GOLDENS")
    if not folder:
        pytest.skip("JAXVID_GOLDENS names no folder of golden outputs")
    golden = np.load(Path(folder, "bmn_400.npz"))
    truth, present = np.zeros((2, 2, 2), np.float32), np.ones((2, 2))
    truth[0], truth[1, :1], present[1, 1] = golden["gt_0"], golden["gt_1"], 0
    best, start, end = targets(truth, present, 100)
    np.testing.assert_allclose(best.sum((1, 2)), golden["label_conf_sum"], rtol=1e-6)
    np.testing.assert_allclose(best[:, 10], golden["label_conf_row10"], atol=1e-6)
    np.testing.assert_allclose(start, golden["label_start"], atol=1e-5)
    np.testing.assert_allclose(end, golden["label_end"], atol=1e-5)
