"""Targets, losses and segments of language grounding, by the published formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.models.drn import Dense
from jaxvid.tasks.grounding import Grounding, points

ROWS = 32
POINTS = 56
LEVELS = [(-1, 6)] * 32 + [(5.6, 11)] * 16 + [(11, np.inf)] * 8


def example(seed=0):
    rng = np.random.default_rng(seed)
    batch = {
        "feature": np.zeros((4, ROWS, 1), np.float32),
        "position": np.zeros((4, ROWS, 2), np.float32),
        "query": np.ones((4, 3), np.int32),
        "duration": np.float32([32, 16, 8, 10]),
        "segments": np.float32([[[4, 10]], [[0, 17]], [[3, 3.1]], [[1, 2]]]),
        "mask": np.float32([1, 1, 1, 0]),
    }
    reach = rng.uniform(0.5, 12, (4, POINTS, 2))
    at = points(ROWS)
    true = batch["segments"][:, 0] / batch["duration"][:, None] * ROWS
    close = np.abs(np.stack([at - true[:, :1], true[:, 1:] - at], -1)) + 0.01
    reach[:, ::3] = close[:, ::3]  # predictions that fit
    shape = 4, POINTS
    out = Dense(rng.standard_normal(shape), reach, rng.standard_normal(shape))
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), out), batch


def published(out, batch):
    """The three losses, one point after the other."""
    real = np.flatnonzero(batch["mask"])
    sigmoid = lambda x: 1 / (1 + np.exp(-np.float64(x)))  # noqa: E731
    focal, positives, reach_losses, errors = 0.0, 0, [], []
    for row in real:
        part = batch["segments"][row, 0] / batch["duration"][row]
        part[1] = min(part[1], 1)
        for i, at in enumerate(points(ROWS)):
            left, right = at - part[0] * ROWS, part[1] * ROWS - at
            low, high = LEVELS[i]
            inside = min(left, right) > 0 and low <= max(left, right) <= high
            p = sigmoid(out.score[row, i])
            p = p if inside else 1 - p
            focal -= (0.25 if inside else 0.75) * (1 - p) ** 2 * np.log(p)
            a, b = np.float64(out.reach[row, i])
            if inside:
                positives += 1
                shared = min(a, left) + min(b, right)
                reach_losses.append(-np.log(shared / (a + b + left + right - shared)))
            start, end = np.clip([(at - a) / ROWS, (at + b) / ROWS], 0, 1)
            union = max(end, part[1]) - min(start, part[0])
            overlap = max(min(end, part[1]) - max(start, part[0]), 0) / (union + 1e-6)
            if overlap > 0.9:
                errors.append(0.5 * (sigmoid(out.overlap[row, i]) - overlap) ** 2)
    assert positives and len(errors) > 3
    return focal / (positives + len(real)), np.mean(reach_losses), np.mean(errors)


def test_losses_are_the_published_ones():
    out, batch = example()
    task = Grounding()
    given = task.prepare(jax.random.key(0), batch, train=True)
    loss, terms = jax.jit(task.loss)(out, given)
    want = published(out, batch)
    names = "score_loss", "reach_loss", "overlap_loss"
    np.testing.assert_allclose([terms[name] for name in names], want, rtol=2e-5)
    np.testing.assert_allclose(loss, sum(want), rtol=2e-5)
    stages = {stage: Grounding(stage=stage).loss for stage in ("first", "second")}
    used = {stage: sorted(jax.eval_shape(of, out, given)[1]) for stage, of in stages.items()}
    assert used == {"first": ["reach_loss", "score_loss"], "second": ["overlap_loss"]}


@pytest.mark.long
def test_in_evaluation_the_loss_of_a_sample_is_that_of_a_batch_of_it_alone():
    out, batch = example()
    task = Grounding()
    whole, _ = task.loss(out, task.prepare(jax.random.key(0), batch, train=False))
    each = []
    for row in range(3):
        alone = {key: value[row : row + 1] for key, value in batch.items()}
        given = task.prepare(jax.random.key(0), alone, train=True)
        each.append(task.loss(jax.tree.map(lambda x: x[row : row + 1], out), given)[0])  # noqa: B023
    np.testing.assert_allclose(whole, np.mean(each), rtol=1e-5)


def test_segments_are_sorted_and_the_query_is_their_label():
    out, batch = example()
    preds = jax.tree.map(lambda x: np.asarray(x)[1], Grounding().predict(out, batch))
    task = Grounding()
    found = task.proposals(preds)
    assert found.shape == (5, 3) and (np.diff(found[:, 2]) <= 0).all()
    assert found[:, :2].min() >= 0 and found[:, 1].max() <= 16
    shown = task.describe(preds | {"query": np.array([2, 1, 0])}, ("door", "open"), 2)
    assert shown.labels == ("open door",) * 2
    nothing = preds | {"score": np.zeros(POINTS)}
    np.testing.assert_array_equal(task.proposals(nothing), [[0, 16, 1]])


def test_scores_of_the_first_stage_ignore_the_overlap():
    out, batch = example()
    first, third = (Grounding(stage=s).predict(out, batch)["score"] for s in ("first", "third"))
    used = np.asarray(first) > 0
    weight = np.sqrt(jax.nn.sigmoid(out.overlap))
    np.testing.assert_allclose(third[used], (first * weight)[used], rtol=1e-5)
