"""Overlap of boxes, and which true box a proposal stands for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.ops import boxes
from tests.conftest import CASES


def overlap(a, b):
    """IoU of two boxes, by counting cells of a fine grid."""
    y, x = np.mgrid[0:40, 0:40] + 0.5
    inside = [(x > c[0]) & (x < c[2]) & (y > c[1]) & (y < c[3]) for c in (a, b)]
    return (inside[0] & inside[1]).sum() / max((inside[0] | inside[1]).sum(), 1)


def draw(rng, count):
    corner = rng.integers(0, 25, (count, 2))
    return np.concatenate([corner, corner + rng.integers(1, 15, (count, 2))], 1).astype(np.float32)


def test_iou_counts_what_boxes_share():
    rng = np.random.default_rng(0)
    a, b = draw(rng, 12), draw(rng, 9)
    want = [[overlap(x, y) for y in b] for x in a]
    np.testing.assert_allclose(boxes.iou(a, b), want, rtol=1e-6)
    assert boxes.iou(a[None], b[None]).shape == (1, 12, 9)
    empty = np.zeros((1, 4), np.float32)
    assert not np.asarray(boxes.iou(empty, np.concatenate([b, empty]))).any()


def assigned(overlaps, threshold):
    """The rule for (n, k) overlaps, in loops."""
    n, k = overlaps.shape
    owner = [-1] * n
    for i in range(n):
        best = max(range(k), key=lambda j: overlaps[i, j])
        if overlaps[i, best] >= threshold:
            owner[i] = best
    for j in range(k):
        if overlaps[:, j].max() >= threshold:
            for i in range(n):
                if overlaps[i, j] == overlaps[:, j].max():
                    owner[i] = j
    return owner


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_assign_follows_the_rule(threshold):
    rng = np.random.default_rng(1)
    for _ in range(20):
        truth = draw(rng, 5)
        found = np.concatenate([draw(rng, 5), truth[:3] + rng.integers(0, 2, (3, 4)), truth[3:4]])
        want = assigned(np.asarray(boxes.iou(found, truth)), threshold)
        got = jax.jit(boxes.assign, static_argnums=3)(found, truth, np.ones(5), threshold)
        assert got.tolist() == want


def test_a_true_box_takes_the_proposal_that_is_its_best_from_a_better_one():
    truth = np.array([[0, 0, 10, 10], [0, 0, 10, 8.5]], np.float32)
    proposal = np.array([[0, 0, 10, 9.6]], np.float32)
    first, second = np.asarray(boxes.iou(proposal, truth))[0]
    assert first > second > 0.8
    assert boxes.assign(proposal, truth, jnp.ones(2), 0.8).tolist() == [1]
    assert boxes.assign(proposal, truth, jnp.ones(2), 0.9).tolist() == [0]


def test_padding_is_no_true_box():
    truth = np.array([[0, 0, 4, 4], [0, 0, 0, 0], [5, 5, 9, 9]], np.float32)
    found = np.array([[0, 0, 4, 4], [5, 5, 9, 9], [0, 0, 0, 0]], np.float32)
    assert boxes.assign(found, truth, jnp.array([1, 0, 0]), 0.5).tolist() == [0, -1, -1]
    assert boxes.assign(found, truth, jnp.zeros(3), 0.5).tolist() == [-1, -1, -1]


def test_assign_as_published():
    """The first key frame of MMAction2's own test data."""
    expected = CASES["AVA-05"]["expected"]
    truth = [
        [0.278, 0.203, 0.964, 0.677],
        [0.050, 0.230, 0.522, 0.952],
        [0.154, 0.039, 0.757, 0.743],
        [0.428, 0.482, 0.659, 0.607],
    ]
    found = [
        [0.072, 0.470, 0.840, 0.898],
        [0.230, 0.215, 0.781, 0.534],
        [0.195, 0.128, 0.643, 0.944],
        [0.236, 0.189, 0.689, 0.740],
        [0.375, 0.371, 0.726, 0.804],
        [0.024, 0.398, 0.776, 0.719],
        [0.477, 0.135, 0.959, 0.967],
        [0.435, 0.071, 0.966, 0.578],
        [0.089, 0.494, 0.583, 0.669],
        [0.136, 0.129, 0.507, 0.532],
    ]
    truth, found = np.array(truth, np.float32), np.array(found, np.float32)
    assert len(truth) == expected["num_gts"]
    best = boxes.iou(found, truth).max(1)
    np.testing.assert_allclose(best, expected["max_overlaps"], rtol=1e-5)
    got = boxes.assign(found, truth, jnp.ones(4), CASES["AVA-05"]["args"]["pos_iou_thr"])
    assert (got + 1).tolist() == expected["gt_inds"]


def test_choose_takes_all_where_there_is_room():
    chosen = np.array([0, 1, 0, 1, 1, 0], bool)
    places, real = boxes.choose(jax.random.key(0), chosen, 5)
    assert real.tolist() == [1, 1, 1, 0, 0]
    assert sorted(places.tolist()[:3]) == [1, 3, 4]
    assert len(set(places.tolist())) == 5


def test_choose_draws_alike_where_there_is_none():
    chosen = np.arange(20) % 2 == 0
    draws = [boxes.choose(jax.random.key(k), chosen, 3) for k in range(300)]
    assert all(real.tolist() == [1, 1, 1] for _, real in draws)
    counts = np.bincount(np.concatenate([p for p, _ in draws]), minlength=20)
    assert not counts[1::2].any()
    assert counts[::2].min() > 60  # of 90 on average
