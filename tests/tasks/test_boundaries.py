"""BSN's losses against loops as published, and its proposals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.models.bsn import Proposed
from jaxvid.ops.segments import iou
from jaxvid.tasks.boundaries import BoundaryProposals
from tests.tasks.test_localization import batch

T = 8


def outputs(rows=4, n=6):
    rng = np.random.default_rng(1)
    bins = (rng.uniform(0.05, 0.95, (rows, T)).astype(np.float32) for _ in range(3))
    segments = np.sort(rng.uniform(0, 1, (rows, n, 2)), -1).astype(np.float32)
    score, overlap = rng.uniform(0.1, 1, (2, rows, n)).astype(np.float32)
    score[0, 4:] = 0  # two are missing
    return Proposed(*bins, segments, score, overlap)


def task(**options):
    return BoundaryProposals(num_classes=3, **options)


def loss(out, given, **options):
    own = task(**options)
    value, terms = own.loss(out, own.prepare(jax.random.key(0), given, train=True))
    return float(value), {key: float(term) for key, term in terms.items()}


def published_targets(given, row):
    """The shares of the bins that actions, starts and ends cover, bin by bin."""
    found = np.zeros((3, T))
    for segment, label in zip(given["segments"][row], given["segment_label"][row], strict=True):
        if label < 0:
            continue
        start, end = np.clip(segment / given["duration"][row], 0, 1)
        half = max(1 / T, 0.1 * (end - start)) / 2
        regions = (start, end), (start - half, start + half), (end - half, end + half)
        for kind, (low, high) in enumerate(regions):
            for t in range(T):
                share = (min((t + 1) / T, high) - max(t / T, low)) * T
                found[kind, t] = max(found[kind, t], share)
    return found


def test_the_loss_of_the_first_stage_is_the_published_one():
    out, given = outputs(), batch()
    targets = np.stack([published_targets(given, row) for row in range(4)], 1) > 0.5
    want = []
    for score, positive in zip((out.action, out.start, out.end), targets, strict=True):
        ratio = np.clip(positive.size / max(positive.sum(), 1), 1.05, 21)
        one = 0.5 * ratio * positive * np.log(score + 1e-5)
        other = 0.5 * ratio / (ratio - 1) * ~positive * np.log(1 - score + 1e-5)
        want.append(-(one + other).mean())
    value, terms = loss(out, given, stage="tem")
    assert terms.keys() == {"action_loss", "start_loss", "end_loss"}
    np.testing.assert_allclose(list(terms.values()), [2 * want[0], *want[1:]], rtol=1e-5)
    assert value == pytest.approx(sum(terms.values()), rel=1e-6)


def test_the_loss_of_the_last_stage_is_of_the_best_proposals_that_are_there():
    out, given = outputs(), batch()
    each = []
    for row in range(4):
        truth = given["segments"][row][given["segment_label"][row] >= 0] / given["duration"][row]
        there = out.score[row, :5] > 0
        overlap = iou(out.segments[row, :5, None], truth).max(1)
        error = np.abs(out.overlap[row, :5] - overlap)
        each.append(np.where(error < 1, error**2 / 2, error - 0.5)[there].mean())
    value, terms = loss(out, given, stage="pem", learned=5)
    assert terms == {"overlap_loss": pytest.approx(np.mean(each), rel=1e-5)}
    every, _ = loss(out, given, learned=5)
    assert every == pytest.approx(value + loss(out, given, stage="tem")[0], rel=1e-5)


def test_masked_samples_and_samples_of_zeros_do_not_count():
    out, given = outputs(), batch()
    rest = [0, 1, 3]
    want = loss(Proposed(*(x[rest] for x in out)), {k: v[rest] for k, v in given.items()})
    for value in given.values():
        value[2] = 0
    assert loss(out, given)[0] == pytest.approx(want[0], rel=1e-5)


def test_proposals_are_those_that_are_there_with_the_product_of_their_scores():
    out, given = outputs(), batch()
    preds = jax.device_get(task().predict(out, given))
    first = {key: value[0] for key, value in preds.items()}
    found = task(alpha=1e9).proposals(first)
    assert found.shape == (4, 3)
    order = np.argsort(-(out.score * out.overlap)[0, :4])
    np.testing.assert_allclose(found[:, 2], (out.score * out.overlap)[0, order], rtol=1e-6)
    np.testing.assert_allclose(found[:, :2], out.segments[0, order] * given["duration"][0])
    alone = task().predict(out._replace(overlap=None), given)  # of the first stage
    np.testing.assert_array_equal(alone["score"], out.score)
    untrained = task(stage="tem").predict(out, given)
    np.testing.assert_array_equal(untrained["score"], out.score)


def test_the_last_stage_alone_cannot_propose():
    with pytest.raises(UserError, match="the last stage alone"):
        task().predict(Proposed(overlap=jnp.zeros((4, 6))), batch())
