"""Temporal detection: what points learn, the loss, and segments with classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.data.transforms import features
from jaxvid.errors import UserError
from jaxvid.layers.timeline import Points
from jaxvid.metrics.localization import ActionMetrics
from jaxvid.ops import points, proposals
from jaxvid.tasks.temporal_detection import TemporalDetection

RANGES = ((0.0, 4.0), (4.0, 1000.0))
ROWS = 16


def task(**options):
    return TemporalDetection(num_classes=3, ranges=RANGES, **options)


def batch(segments, labels, rows=ROWS):
    """One video, one row a second, the first at 0.5 s."""
    return {
        "feature": np.zeros((1, ROWS, 2), np.float32),
        "rows": np.array([rows], np.int32),
        "row_time": np.full(1, 0.5, np.float32),
        "row_step": np.ones(1, np.float32),
        "duration": np.full(1, rows, np.float32),
        "segments": np.array([segments], np.float32),
        "segment_label": np.array([labels], np.int32),
        "mask": np.ones(1, np.float32),
    }


def perfect(given):
    """Outputs that are right for a prepared batch."""
    split = [ROWS]
    logits = np.where(given["classes"] > 0, 9.0, -9.0).astype(np.float32)
    offsets = np.maximum(given["offsets"], 0)[:, :, None].astype(np.float32)
    return Points(tuple(np.split(logits, split, 1)), tuple(np.split(offsets, split, 1)))


def test_points_learn_the_shortest_action_of_their_level():
    segments = jnp.array([[[2.0, 5.0], [1.0, 15.0], [2.0, 5.0], [0.0, 0.0]]])
    found = points.assign(segments, jnp.array([[0, 1, 2, -1]]), ROWS, 3, RANGES, 1.5)
    short, long = found.classes[0, :ROWS], found.classes[0, ROWS:]
    np.testing.assert_array_equal(np.flatnonzero(short[:, 0]), [3, 4])  # 1.5 strides from 3.5
    np.testing.assert_array_equal(short[:, 0], short[:, 2])  # two classes of one segment
    np.testing.assert_array_equal(np.flatnonzero(long[:, 1]), [3, 4, 5])  # less than 3 rows from 8
    np.testing.assert_allclose(found.offsets[0, 3], [1, 2])
    np.testing.assert_allclose(found.offsets[0, ROWS + 4], [3.5, 3.5])  # in strides of 2
    assert float(found.classes.sum()) == 2 * 2 + 3


@pytest.mark.parametrize(
    "a,b,iou,loss",
    [([1, 1], [1, 1], 1, 0), ([1, 0], [0, 1], 0, 1 + 0.25), ([2, 2], [1, 1], 0.5, 0.5)],
)
def test_the_iou_of_segments_around_a_point(a, b, iou, loss):
    pair = np.array(a, np.float32), np.array(b, np.float32)
    np.testing.assert_allclose(points.iou(*pair), iou)
    np.testing.assert_allclose(points.distance_iou_loss(*pair), loss)


@pytest.mark.parametrize("train", [True, False])
def test_the_loss_is_zero_only_for_right_outputs_and_ignores_padding(train):
    given = batch([[2.5, 5.5], [0, 0]], [1, -1], rows=8)
    given = task().prepare(jax.random.key(0), given, train)
    out = perfect(given)
    value, terms = task().loss(out, given)
    assert terms["distance_loss"] < 1e-6 > value
    changed = out._replace(logits=tuple(x.copy() for x in out.logits))
    changed.logits[0][:, 8:] = 5.0  # padding
    np.testing.assert_allclose(task().loss(changed, given)[0], value)
    changed.logits[0][:, 0, 2] = 5.0
    assert task().loss(changed, given)[0] > value + 0.01


def test_the_divisor_is_mostly_the_usual_number_of_points():
    given = batch([[2.5, 5.5]], [1])
    right = task().prepare(jax.random.key(0), given, True)
    learned = int((right["classes"].max(-1) > 0).sum())
    assert float(right["weight"][0]) == pytest.approx(1 / (90 + 0.1 * learned))
    alone = task().prepare(jax.random.key(0), given, False)
    assert float(alone["weight"][0]) == pytest.approx(1 / learned)


@pytest.mark.parametrize("agnostic", [False, True])
def test_right_outputs_give_the_segments_with_their_classes(agnostic):
    made = task(agnostic=agnostic)
    given = batch([[2.5, 5.5], [1.0, 14.0]], [1, 2])
    given = made.prepare(jax.random.key(0), given, False)
    preds = jax.tree.map(lambda x: np.asarray(x[0]), made.predict(perfect(given), given))
    found = made.proposals(preds)
    assert found.shape[1] == (3 if agnostic else 4)
    best = found[found[:, 2] > 0.5]
    assert {tuple(row) for row in best[:, :2].round(3).tolist()} == {(2.5, 5.5), (1.0, 14.0)}
    described = made.describe(preds, ("a", "b", "c"), 2)
    assert set(described.labels) == ({"action"} if agnostic else {"b", "c"})
    metric = made.metrics()[0]
    metric.update({k: x[None] for k, x in preds.items()} | {"mask": np.ones(1)})
    # Without classes, both segments count as the most frequent class of the video.
    assert metric.compute()["map"] == pytest.approx(0.5 if agnostic else 1)
    report = made.report({k: x[None] for k, x in preds.items()}, ["v"], ("a", "b", "c"))
    assert len(report.files["predictions.json"]["results"]["v"]) == len(found)


def test_suppression_and_votes():
    segments = np.array([[0, 10], [1, 11], [20, 30.0]])
    scores = np.array([0.9, 0.6, 0.5])
    taken, values = proposals.suppress(segments, scores, alpha=0.5, low=0, high=0, keep=3)
    assert taken == [0, 2, 1]
    np.testing.assert_allclose(values, [0.9, 0.5, 0.6 * np.exp(-((9 / 11) ** 2) / 0.5)])
    few, _ = proposals.suppress(segments, scores, alpha=0.5, low=0, high=0, keep=3, least=0.4)
    assert few == [0, 2]
    voted = proposals.vote(segments[taken], segments, scores, 0.8)
    np.testing.assert_allclose(voted, [[0.4, 10.4], [20, 30], [0.4, 10.4]])


def test_a_segment_of_another_class_is_wrong():
    found = np.array([[0, 10, 0.9, 0], [20, 30, 0.8, 1]])
    metric = ActionMetrics(lambda p: found, 2, thresholds=np.array([0.3, 0.5]))
    truth = {"segments": np.array([[[0, 10], [20, 30]]]), "mask": np.ones(1)}
    metric.update(truth | {"segment_label": np.array([[0, 0]])})
    values = metric.compute()
    assert values["map30"] == values["map50"] == values["map"] == 0.5
    assert values["ar10"] > 0  # classes do not count
    assert [row.n for row in metric.per_class(("a", "b"))] == [2, 0]


# The recipe's transforms


def sample(rows=20, **extra):
    feature = np.arange(rows, dtype=np.float32)[:, None]
    segments = np.array([[4.0, 8.0], [15.0, 18.0]], np.float32)
    given = dict(feature=feature, duration=float(rows), segments=segments)
    return given | dict(segment_label=np.array([1, 0]), path="v.npy") | extra


def test_rows_have_times_by_the_span_of_their_clips():
    rng = np.random.default_rng(0)
    plain = features.Times()(sample(), rng)
    assert (plain["row_time"], plain["row_step"]) == (0.5, 1.0)
    wide = features.Times(4.0)(sample(duration=23.0), rng)
    assert (wide["row_time"], wide["row_step"]) == (2.0, 1.0)


def test_a_random_window_keeps_the_times_of_its_actions():
    timed = features.Times()(sample(), np.random.default_rng(0))
    for seed in range(20):
        cut = features.RandomWindow(8)(timed, np.random.default_rng(seed))
        start = cut["feature"][0, 0]
        assert len(cut["feature"]) == 8 == cut["duration"]
        kept = cut["segment_label"] >= 0
        assert kept.any()
        for one, true in zip(cut["segments"][kept], timed["segments"][kept], strict=True):
            # Points are the middles of rows, so the ends of a part are half a row inside.
            np.testing.assert_allclose(one, np.clip(true - start, 0.5, 8.5))
            assert one[1] - one[0] >= 0.5 * (true[1] - true[0]) - 1e-6
    whole = features.RandomWindow(50, (1.0, 1.0))(timed, np.random.default_rng(0))
    assert whole is timed


def test_features_are_padded_and_too_many_rows_are_refused():
    padded = features.Pad(24)(sample(), np.random.default_rng(0))
    assert padded["feature"].shape == (24, 1) and padded["rows"] == 20
    assert not padded["feature"][20:].any()
    with pytest.raises(UserError, match=r"v\.npy: 20 rows, but at most 16.*recipe\.test_frames"):
        features.Pad(16, "test_frames")(sample(), np.random.default_rng(0))
