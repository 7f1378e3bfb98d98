"""Localization: the published loss, proposals and post-processing, and what is reported."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvid import plug
from jaxvid.data.sources.activitynet import covered
from jaxvid.models.bmn import Boundaries
from jaxvid.ops import losses, segments
from jaxvid.ops.boundary import valid_cells
from jaxvid.tasks.localization import Localization
from jaxvid.train.step import init_state, init_variables, make_train_step
from tests.conftest import cases, fill

pytestmark = pytest.mark.long

T = 8


def batch(rows=4, seed=0, **extra):
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, 6, (rows, 2))
    given = {
        "feature": rng.standard_normal((rows, T, 12)).astype(np.float32),
        "duration": np.linspace(10, 12, rows, dtype=np.float32),
        "segments": np.stack([starts, starts + rng.uniform(2, 4, (rows, 2))], -1).astype("f4"),
        "segment_label": np.tile(np.array([0, -1], np.int32), (rows, 1)),
        "mask": np.ones(rows, np.float32),
        "index": np.arange(rows, dtype=np.int32),
    }
    given["segment_label"][1:2] = [2, 1]
    return given | extra


def outputs(rows=4, seed=1, t=T):
    rng = np.random.default_rng(seed)
    shapes = (rows, 2, t, t), (rows, t), (rows, t)
    return Boundaries(*(rng.uniform(0.05, 0.95, shape).astype(np.float32) for shape in shapes))


def task(**options):
    return Localization(num_classes=3, **options)


@functools.cache
def compiled():
    def run(key, out, batch):
        prepared = task().prepare(key, batch, train=True)
        return task().loss(out, prepared), prepared

    return jax.jit(run)


def loss(out, given, seed=0):
    (value, terms), _ = compiled()(jax.random.key(seed), out, given)
    return float(value), {key: float(term) for key, term in terms.items()}


# Loss


def published_loss(out, given):
    """The three terms over a whole batch, as BMN's authors and MMAction2 define them."""
    rows = len(given["mask"])
    relative = np.clip(given["segments"] / given["duration"][:, None, None], 0, 1)
    overlap, start, end = segments.boundary_targets(
        jnp.asarray(relative), jnp.asarray(given["segment_label"] >= 0), T
    )

    def balanced(score, positive, negative, entries):
        ratio = np.clip(entries / max(positive.sum(), 1), 1.05, 21)
        one = 0.5 * ratio * positive * np.log(score + 1e-5)
        other = 0.5 * ratio / (ratio - 1) * negative * np.log(1 - score + 1e-5)
        return -(one + other).sum() / entries

    boundary = sum(
        balanced(score, target > 0.5, target <= 0.5, rows * T)
        for score, target in ((out.start, np.asarray(start)), (out.end, np.asarray(end)))
    )
    overlap, valid = np.asarray(overlap), valid_cells(T)
    good, others = overlap > 0.9, (overlap <= 0.9) & valid
    cell = balanced(out.confidence[:, 1], good, others, max(good.sum(), 1) + others.sum())
    weights = np.asarray(losses.overlap_weights(jax.random.key(0), jnp.asarray(overlap), valid))
    error = weights * (out.confidence[:, 0] - overlap)
    return boundary, 0.5 * np.square(error).sum() / weights.sum(), cell


def everything():
    """A segment for each cell: of those that fit hardly there are too few to draw from."""
    given, (d, s) = batch(), np.nonzero(valid_cells(T))
    segments = np.stack([s, s + d + 1], 1) / T * given["duration"][:, None, None]
    return given | {
        "segments": segments.astype(np.float32),
        "segment_label": np.zeros((4, len(s)), np.int32),
    }


@pytest.mark.parametrize("given,ratio", [(batch(), 1), (everything(), 3 / 2)])
def test_the_loss_is_the_published_one(given, ratio):
    out = outputs()
    value, terms = loss(out, given)
    _, prepared = compiled()(jax.random.key(0), out, given)
    weights = np.sqrt(prepared["overlap_weight"])
    assert weights.max() / weights[weights > 0].min() == pytest.approx(ratio)
    boundary, overlap, cell = published_loss(out, given)
    assert terms["boundary_loss"] == pytest.approx(boundary, rel=1e-5)
    assert terms["overlap_loss"] == pytest.approx(overlap, rel=1e-5)
    assert terms["cell_loss"] == pytest.approx(cell, rel=1e-5)
    assert value == pytest.approx(boundary + 10 * overlap + cell, rel=1e-5)


def test_masked_samples_do_not_count():
    """A skipped sample is zeros, its duration, too."""
    out, given = outputs(), batch()
    kept, fewer = [0, 1, 3], {key: value[[0, 1, 3]] for key, value in given.items()}
    for zeros in (False, True):
        other = {key: value.copy() for key, value in given.items()}
        if zeros:
            for value in other.values():
                value[2] = 0
        other["mask"][2] = 0
        _, want = loss(Boundaries(*(x[kept] for x in out)), fewer)
        _, got = loss(out, other)
        for key in ("boundary_loss", "cell_loss"):
            assert got[key] == pytest.approx(want[key], rel=1e-5)
        assert np.isfinite(got["overlap_loss"])


def test_as_many_are_drawn_as_unmasked_samples_want():
    out, given = outputs(), batch(mask=np.array([1, 1, 0, 1], np.float32))
    masked = np.arange(4)[:, None] == 2
    without = given | {"segment_label": np.where(masked, -1, given["segment_label"])}
    one, two = (
        compiled()(jax.random.key(0), out, x)[1]["overlap_weight"] for x in (given, without)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.any(one[2])
    assert np.any(one[3])


def test_a_batch_of_nothing_has_a_finite_loss():
    value, _ = loss(outputs(), {key: np.zeros_like(x) for key, x in batch().items()})
    assert value == 0


def test_the_draw_follows_the_step():
    out, given = outputs(), batch()
    assert loss(out, given, 0) == loss(out, given, 0)
    assert loss(out, given, 0)[1]["overlap_loss"] != loss(out, given, 1)[1]["overlap_loss"]


def test_parts_of_a_batch_give_its_gradient():
    """The balance is that of the whole batch, also where it goes through in parts."""
    net = plug.load("models", dict(name="bmn", variant="test", samples=4))
    given, tx = batch(), optax.sgd(1.0)
    given["mask"][2] = 0
    variables = fill(jax.eval_shape(lambda b: init_variables(net, task(), b, 0), given))
    steps = []
    for parts in (1, 2):
        state = init_state(variables, tx, 0, 0.0)
        steps.append(jax.jit(make_train_step(net, task(), tx, parts))(state, given))
    (one, one_logs), (two, two_logs) = steps
    np.testing.assert_allclose(one_logs["loss"], two_logs["loss"], rtol=1e-5)
    np.testing.assert_allclose(one_logs["grad_norm"], two_logs["grad_norm"], rtol=1e-4)
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_segments_are_cut_at_the_end_of_the_features():
    """The published case: features may end before the video."""
    (case,) = [c for c in cases("Localization") if c.id == "Localization-01"]
    _, given, expected, _ = case.values
    sample = batch(
        1,
        duration=np.array([covered(given)], np.float32),
        segment_label=np.zeros((1, 2), np.int32),
        segments=np.array([given["annotations"]], np.float32),
    )
    _, prepared = compiled()(jax.random.key(0), outputs(1), sample)
    want, _, _ = segments.boundary_targets(jnp.array([expected["gt_bbox"]]), jnp.ones((1, 2)), T)
    np.testing.assert_allclose(prepared["overlap"], want, atol=1e-6)


# Proposals


def naive_proposals(out, row, late):
    """Every pair of a start and a later end, as published: {(start, end): score}, in bins."""
    start, end, confidence = out.start[row], out.end[row], out.confidence[row]

    def peak(scores, i):
        local = scores[i - 1] < scores[i] > scores[i + 1]
        return local or scores[i] > 0.5 * scores.max()

    inner = range(1, T - 1)
    starts = [0, *(i for i in inner if peak(start, i))]
    ends = [*(i for i in inner if peak(end, i)), T - 1]
    found = {}
    for s in starts:
        for d in range(T):
            e = s + d + 1
            if e < T and e in ends:
                score = start[s] * end[e] * confidence[0, d, s] * confidence[1, d, s]
                found[s, e + late] = score
    return found


def predict(out, given, **options):
    preds = jax.jit(task(**options).predict)(out, given)
    return [{k: np.asarray(v)[row] for k, v in preds.items()} for row in range(len(out.start))]


@pytest.mark.parametrize("late", [0, 1])
def test_proposals_are_the_published_ones(late):
    out = outputs(seed=3)
    out = out._replace(start=out.start**3, end=out.end**3)  # so that some bins are no peaks
    off = dict(alpha=1e9)  # nothing is suppressed
    given = batch()
    for row, preds in enumerate(predict(out, given, late=late, **off)):
        want = naive_proposals(out, row, late)
        assert 4 < len(want) < T * (T - 1) / 2
        found = task(late=late, **off).proposals(preds)
        bins = np.round(found[:, :2] / given["duration"][row] * T).astype(int)
        assert {(s, e) for s, e in bins} == want.keys()
        assert (np.diff(found[:, 2]) <= 0).all()
        for (s, e), score in zip(bins, found[:, 2], strict=True):
            assert score == pytest.approx(want[s, e], rel=1e-5)


def test_published_post_processing():
    """Scores and segments of a video, put into a map of the finest bins that hold them."""
    (case,) = [c for c in cases("Localization") if c.id == "Localization-08"]
    args, given, expected, _ = case.values
    t = 20
    score = np.zeros((t, t), np.float32)
    for start, end, *_, value in given["result"]:
        s, e = round(start * t), round(end * t)
        score[e - s - 1, s] = value
    options = dict(alpha=args["a"], low=args["low"], high=args["high"], keep=args["top_k"])
    found = task(late=0, **options).proposals(
        {"score": score, "duration": np.float32(covered(given))}
    )
    want = [[*row["segment"], row["score"]] for row in expected]
    np.testing.assert_allclose(found, want, rtol=1e-6)


def test_proposals_stay_within_the_features_and_the_limit():
    out, given = outputs(seed=5), batch()
    for row, preds in enumerate(predict(out, given)):
        found = task(keep=3).proposals(preds)
        assert len(found) == 3
        assert 0 <= found[:, :2].min() <= found[:, :2].max() <= given["duration"][row] * (1 + 1e-6)


def test_predictions_carry_the_truth_to_the_metric():
    (metric,) = task().metrics()
    given = batch(mask=np.array([1, 1, 0, 1], np.float32))
    preds = jax.jit(task().predict)(outputs(), given)
    metric.update(jax.device_get(preds) | {"mask": given["mask"]})
    assert [len(video.true_segments) for video in metric.videos] == [1, 2, 1]
    assert set(metric.compute()) >= {"ar1", "ar5", "ar10", "ar100", "auc", "map", "map50"}


# Results


def test_describe():
    preds = predict(outputs(), batch())[1]
    every = task().proposals(preds)
    found = task().describe(preds, ("a", "b", "c"), 3)
    assert found.labels == ("action",) * 3
    assert found.scores == tuple(every[:3, 2])
    assert found.segments == tuple(map(tuple, every[:3, :2]))
    assert found.duration == pytest.approx(batch()["duration"][1])
    assert task().describe(preds, ("jump",), 1).labels == ("jump",)
    assert len(task().describe(preds, ("jump",)).labels) == min(10, len(every))


def test_report():
    preds = jax.device_get(jax.jit(task().predict)(outputs(), batch()))
    ids = ["v0", "v1", "v2", "v3"]
    report = task().report(preds, ids, ("a", "b", "c"))
    found = report.files["predictions.json"]["results"]
    assert list(found) == ids
    first = task().proposals({k: v[2] for k, v in preds.items()})[0]
    assert found["v2"][0] == {"label": "action", "score": first[2], "segment": list(first[:2])}
    head, *rows = report.files["report.csv"]
    assert head[:2] == ("name", "n")
    assert [(row.name, row.n) for row in rows] == [("a", 3), ("b", 1), ("c", 1)]
    assert any("ar10" in line and "%" in line for line in report.lines)
    assert report == task().report(preds, ids, ("a", "b", "c"))  # chance, too
