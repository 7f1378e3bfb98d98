"""The losses of proposal networks against published values and loops over their definitions."""

import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.ops import losses
from tests.conftest import CASES


def boundary_loss(score, target):
    """ "TEM loss" of one side."""
    sides = (target > 0.5).astype(float), (target <= 0.5).astype(float)
    weights = losses.balanced_weights(*sides, target.size)
    return losses.weighted_log_loss(score, *weights).mean()


def cell_loss(score, overlap, valid):
    """ "PEM classification loss"."""
    good, others = (overlap > 0.9).astype(float), (overlap <= 0.9) * valid
    # In the published case `valid` is no mask of 0 and 1, but weighs.
    entries = jnp.maximum(good.sum(), 1) + others.sum()
    return (
        losses.weighted_log_loss(score, *losses.balanced_weights(good, others, entries)).sum()
        / entries
    )


def overlap_loss(rng, score, overlap, valid):
    """ "PEM regression loss"."""
    weights = losses.overlap_weights(rng, overlap, valid)
    return 0.5 * jnp.square(weights * (score - overlap)).sum() / weights.sum()


def arrays(given, *keys):
    return [jnp.array(given[key], jnp.float32) for key in keys]


def test_published_boundary_loss():
    given = CASES["Losses-01"]["input"]
    ps, pe, gs, ge = arrays(given, "ps", "pe", "gs", "ge")
    found = boundary_loss(ps, gs) + boundary_loss(pe, ge)
    assert float(found) == pytest.approx(CASES["Losses-01"]["expected"], rel=1e-6)


@pytest.mark.parametrize("name", ["Losses-04", "Losses-05"])
def test_published_logistic_loss(name):
    score, label = arrays(CASES[name]["input"], "score", "label")
    assert float(boundary_loss(score, label)) == pytest.approx(CASES[name]["expected"], rel=1e-6)


def test_published_cell_loss():
    found = cell_loss(*arrays(CASES["Losses-02"]["input"], "pred", "gt", "mask"))
    assert float(found) == pytest.approx(CASES["Losses-02"]["expected"], rel=1e-6)


def test_published_overlap_loss():
    """Nothing is drawn: without cells that fit fairly or hardly, every cell counts."""
    given = arrays(CASES["Losses-03"]["input"], "pred", "gt", "mask")
    for seed in range(3):
        found = overlap_loss(jax.random.key(seed), *given)
        assert float(found) == pytest.approx(CASES["Losses-03"]["expected"], rel=1e-6)


@pytest.fixture(scope="module")
def records():
    folder = os.environ.get("JAXVID_GOLDENS")
    if not folder:
        pytest.skip("JAXVID_GOLDENS names no folder of golden outputs")
    return {r["name"]: r for r in json.loads(Path(folder, "losses.json").read_text())}


@pytest.mark.parity
def test_boundary_loss_of_the_goldens(records):
    record = records["BMNLoss.tem_loss"]
    pred, pred_end, gs, ge = arrays(record["inputs"], "pred", "pred_end", "gs", "ge")
    loss, grad = jax.value_and_grad(lambda p: boundary_loss(p, gs) + boundary_loss(pred_end, ge))(
        pred
    )
    assert float(loss) == pytest.approx(record["value"], rel=1e-6)
    np.testing.assert_allclose(grad, record["grad"]["pred"], rtol=1e-5, atol=1e-7)


@pytest.mark.parity
def test_cell_loss_of_the_goldens(records):
    record = records["BMNLoss.pem_cls_loss threshold=0.9"]
    conf, gt, mask = arrays(record["inputs"], "conf", "gt", "mask")
    loss, grad = jax.value_and_grad(cell_loss)(conf, gt, mask)
    assert float(loss) == pytest.approx(record["value"], rel=1e-6)
    np.testing.assert_allclose(grad, record["grad"]["conf"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("positives", [0, 1, 3, 50, 97, 100])
def test_both_kinds_count_alike_within_limits(positives):
    positive = (np.arange(100) < positives).astype(np.float32)
    one, other = losses.balanced_weights(positive, 1 - positive, 100)
    ratio = min(max(100 / max(positives, 1), 1.05), 21)
    assert float(one.sum()) == pytest.approx(positives * ratio / 2, rel=1e-6)
    assert float(other.sum()) == pytest.approx(
        (100 - positives) * ratio / 2 / (ratio - 1), rel=1e-5
    )
    if 5 <= positives <= 95:
        assert float(one.sum()) == pytest.approx(float(other.sum()), rel=1e-5)


def drawn(seed, counts=(40, 400, 2000)):
    """Weights of cells that fit well, fairly, hardly and not at all, and of others."""
    overlap = np.repeat([0.8, 0.5, 0.2, 0.0, 0.2], [*counts, 500, 300]).astype(np.float32)
    valid = np.repeat([1.0, 0.0], [sum(counts) + 500, 300])
    weights = losses.overlap_weights(jax.random.key(seed), overlap, valid)
    return np.split(np.asarray(weights), np.cumsum([*counts, 500]))


def test_as_many_of_each_kind_are_drawn():
    sums = np.array([[part.sum() for part in drawn(seed)] for seed in range(40)])
    assert set(sums[:, 0]) == {40}
    assert not sums[:, 3:].any()
    for kind in (1, 2):
        assert sums[:, kind].mean() == pytest.approx(40, abs=4)
        assert sums[:, kind].std() > 2
    assert {x for part in drawn(0) for x in part.tolist()} == {0, 1}


def test_the_draw_follows_the_key():
    one, same, other = drawn(1), drawn(1), drawn(2)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[2], other[2])


def test_a_batch_without_truth_has_no_overlap_loss():
    weights = losses.overlap_weights(jax.random.key(0), jnp.zeros((2, 3, 3)), jnp.ones((3, 3)))
    assert not np.any(weights)
