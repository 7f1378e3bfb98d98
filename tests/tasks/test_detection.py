"""Spatio-temporal detection: which boxes are trained on, the loss, and what is predicted."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError
from jaxvid.metrics.action_tubes import ActionTubeMAP
from jaxvid.metrics.detection import AvaMAP
from jaxvid.metrics.tubes import MultiSportsMAP
from tests.conftest import ROWS, crossings

CLASSES = 4
A, NEAR_A, FAR = (0, 0, 20, 20), (0, 0, 20, 19), (30, 30, 50, 60)
B, HALF_B = (40, 0, 60, 20), (40, 0, 60, 12)


def make(**options):
    return plug.load("tasks", dict(name="detection", **options), num_classes=CLASSES)


def rows(boxes, room):
    return np.float32([*boxes, *[(0, 0, 0, 0)] * (room - len(boxes))])


def mask(count, room):
    return np.float32(np.arange(room) < count)


def batch(*samples, room=4, masks=None):
    """Of (true boxes, labels as sets of classes, proposals)."""
    label = np.zeros((len(samples), room, CLASSES), np.uint8)
    for i, (_, labels, _) in enumerate(samples):
        for k, found in enumerate(labels):
            label[i, k, list(found)] = 1
    return {
        "video": np.full((len(samples), 1, 2, 8, 8, 3), 100, np.uint8),
        "boxes": np.stack([rows(true, room) for true, _, _ in samples]),
        "box_mask": np.stack([mask(len(true), room) for true, _, _ in samples]),
        "box_label": label,
        "proposals": np.stack([rows(found, room) for *_, found in samples]),
        "proposal_mask": np.stack([mask(len(found), room) for *_, found in samples]),
        "scale": np.ones((len(samples), 2), np.float32),
        "clip": np.zeros(len(samples), np.int32),
        "time": np.arange(len(samples), dtype=np.float32),
        "mask": np.float32(masks or [1] * len(samples)),
        "index": np.arange(len(samples), dtype=np.int32),
    }


@functools.partial(jax.jit, static_argnums=(0, 2))
def prepared(task, given, train, rng):
    return task.prepare(rng, given, train)


def prepare(task, given, train=True, seed=0):
    return prepared(task, given, train, jax.random.key(seed))


def trained_on(found, row=0):
    """(box, classes) of the boxes with a weight, in order."""
    return sorted(
        (tuple(box), tuple(np.flatnonzero(target)))
        for box, target, weight in zip(
            *(np.asarray(found[key])[row].tolist() for key in ("rois", "target", "weight")),
            strict=True,
        )
        if weight
    )


# Which boxes


def test_true_boxes_and_close_proposals_are_trained_on():
    given = batch(([A, B], [{0, 2}, {1}], [NEAR_A, HALF_B, FAR]))
    found = prepare(make(), given)
    assert trained_on(found) == [(NEAR_A, (0, 2)), (A, (0, 2)), (B, (1,))]
    found = prepare(make(match=0.5), given)
    assert trained_on(found) == [(NEAR_A, (0, 2)), (A, (0, 2)), (HALF_B, (1,)), (B, (1,))]
    assert found["rois"].shape == (1, 8, 4)
    assert found["target"].shape == (1, 8, CLASSES)


def test_at_most_so_many_are():
    given = batch(([A, B, FAR], [{0}, {1}, {2}], [A, B, FAR]))
    seen = set()
    for seed in range(30):
        found = trained_on(prepare(make(rois=2), given, seed=seed))
        assert len(found) == 2
        seen |= set(found)
    assert len(seen) == 3


def test_padding_is_never_trained_on():
    given = batch(([A], [{0}], []), ([], [], [A]))
    given["box_label"][:, 1:] = 1  # what stands in the padding does not matter
    given["proposals"][0, 2] = A
    found = prepare(make(match=0.0001), given)
    assert trained_on(found) == [(A, (0,))]
    assert trained_on(found, 1) == []


def test_evaluation_takes_all_proposals():
    given = batch(([A], [{0}], [FAR, B]))
    found = prepare(make(), given, train=False)
    np.testing.assert_array_equal(found["rois"][:, 4:], given["proposals"])
    np.testing.assert_array_equal(found["rois"][:, :4], given["boxes"])  # for the loss
    out = draw(1, 8, CLASSES)
    np.testing.assert_array_equal(predict(make(), found, out)["score"], jax.nn.sigmoid(out[:, 4:]))
    alone = {key: x for key, x in given.items() if not key.startswith("box")}
    inputs = make().inputs(prepare(make(), alone, train=False))
    np.testing.assert_array_equal(inputs["boxes"], given["proposals"])
    assert inputs["video"].shape == (1, 2, 8, 8, 3)


def test_pixels_are_normalized():
    found = prepare(make(mean=(90.0, 100.0, 110.0), std=(2.0, 4.0, 5.0)), batch(([], [], [])))
    np.testing.assert_allclose(np.unique(found["video"].reshape(-1, 3), axis=0), [[5, 0, -2]])


# Loss


def cross_entropy(x, y):
    return np.logaddexp(0, x) - y * x


def loss(task, given, out):
    found = prepare(task, given)
    value, logs = task.loss(jnp.asarray(out), found)
    return found, float(value), {key: float(v) for key, v in logs.items()}


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("focal", [(1.0, 0.0), (3.0, 1.0), (1.0, 2.0)])
def test_the_loss_is_the_mean_over_boxes_and_classes(focal):
    """Over all boxes of the batch: a key frame with more of them weighs more."""
    given = batch(
        ([A, B, FAR], [{0, 2}, {1}, {3}], []), ([A], [{1}], []), ([B], [{1}], []), masks=[1, 1, 0]
    )
    out = draw(3, 8, CLASSES)
    found, value, _ = loss(make(focal=focal), given, out)
    picked = np.asarray(found["weight"]) > 0
    assert picked.sum() == 4
    each = cross_entropy(out[picked], np.asarray(found["target"])[picked])
    alpha, gamma = focal
    want = (alpha * (1 - np.exp(-each)) ** gamma * each).mean()
    assert value == pytest.approx(want, rel=1e-5)


def test_parts_of_a_batch_add_up_to_it():
    """As the step weighs parts: by their unmasked samples."""
    samples = [([A, B], [{0}, {1}], [NEAR_A]), ([FAR], [{2}], []), ([], [], []), ([A], [{3}], [])]
    given, task, out = batch(*samples), make(), draw(4, 8, CLASSES)
    found, value, logs = loss(task, given, out)
    total, recall = 0.0, 0.0
    for rows in ([0, 2], [1, 3]):
        part = {key: np.asarray(x)[rows] for key, x in found.items()}
        one, some = task.loss(jnp.asarray(out[rows]), part)
        total, recall = total + float(one) / 2, recall + float(some["recall_top3"]) / 2
    assert total == pytest.approx(value, rel=1e-5)
    assert recall == pytest.approx(logs["recall_top3"], rel=1e-5)


def test_a_batch_without_boxes_has_no_loss():
    given = batch(([], [], [A]), ([], [], []))
    found = prepare(make(), given)
    value, grad = jax.value_and_grad(lambda out: make().loss(out, found)[0])(draw(2, 8, CLASSES))
    assert value == 0
    assert not np.asarray(grad).any()


# The background is the first of the published scores, and none of ours.
SCORES = np.float32(
    [
        [-0.162, 0.273, -0.390, 0.447, 0.102, -0.409],
        [0.609, 0.369, 1.630, -0.808, -0.212, 0.296],
        [-0.533, -0.644, -0.591, 0.148, 0.963, -0.525],
        [-0.311, -0.764, -0.752, 0.656, -1.517, 0.185],
    ]
)
LABELS = np.float32(
    [[0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0], [1, 0, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1]]
)


@pytest.mark.parametrize("multi_label,want", [(True, 0.7162495), (False, 1.639561)])
def test_losses_as_published(multi_label, want):
    """MMAction2 gives a softmax labels that add up to one."""
    task = plug.load("tasks", dict(name="detection", multi_label=multi_label), num_classes=6)
    target = LABELS if multi_label else LABELS / LABELS.sum(1, keepdims=True)
    given = dict(target=target[None], weight=np.full((1, 4), 0.25), mask=np.ones(1))
    value, logs = task.loss(jnp.asarray(SCORES[None]), given)
    assert float(value) == pytest.approx(want, rel=1e-6)
    assert float(logs["recall_top3"]) == pytest.approx(0.75)


def test_a_softmax_has_one_class_a_box():
    given = batch(([A, B], [{0}, {1}], []))
    out = draw(1, 8, CLASSES)
    found, value, _ = loss(make(multi_label=False), given, out)
    picked = np.asarray(found["weight"][0]) > 0
    logits = out[0][picked].astype(float)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    want = -(log_p * np.asarray(found["target"][0])[picked]).sum(1).mean()
    assert value == pytest.approx(want, rel=1e-5)


# Predictions


def predict(task, given, out):
    return {key: np.asarray(x) for key, x in task.predict(jnp.asarray(out), given).items()}


def test_boxes_come_back_in_pixels_of_the_video():
    given = batch(([A], [{0}], [B]))
    given["scale"][:] = 0.5, 0.25  # half as high, a quarter as wide
    out = draw(1, 4, CLASSES)
    found = predict(make(), given, out)
    np.testing.assert_allclose(found["score"], 1 / (1 + np.exp(-out)), rtol=1e-5)
    assert found["proposals"][0, 0].tolist() == [160, 0, 240, 40]
    assert found["boxes"][0, 0].tolist() == [0, 0, 80, 40]
    assert found.keys() == {
        "score",
        "proposals",
        "proposal_mask",
        "boxes",
        "box_mask",
        "box_label",
        "clip",
        "time",
    }
    scores = predict(make(multi_label=False), given, out)["score"]
    np.testing.assert_allclose(scores.sum(-1), 1, rtol=1e-5)


def test_true_boxes_are_not_needed():
    given = batch(([A], [{0}], [B]))
    for key in ("boxes", "box_mask", "box_label", "clip"):
        del given[key]
    assert predict(make(), given, draw(1, 4, CLASSES)).keys() == {
        "score",
        "proposals",
        "proposal_mask",
        "time",
    }


def sample(task, out):
    preds = predict(task, batch(([A], [{0}], [B, A])), out)
    return {key: value[0] for key, value in preds.items()}


def test_a_description_names_the_best_classes_of_each_box():
    out = np.float32([[[3, 1, 2, -1], [-1, 0, 1, 2], [9, 9, 9, 9], [9, 9, 9, 9]]])
    task, names = make(), ("stand", "sit", "walk", "wave")
    found = task.describe(sample(task, out), names, 2)
    assert found.labels == (("stand", "walk"), ("wave", "walk"))
    np.testing.assert_allclose(
        found.scores, 1 / (1 + np.exp(-np.array([[3, 2], [2, 1]]))), rtol=1e-5
    )
    assert found.boxes == (B, A)
    assert found.time == 0
    assert len(task.describe(sample(task, out), names, None).labels[0]) == 3
    (line, _) = found.lines()
    assert " ".join(line.split()) == "0.00 s [40 0 60 20] 95.3% stand, 88.1% walk"


def test_metrics_are_those_of_the_benchmark():
    groups = (("one", 0, 1),)
    (ava,) = make(unscored=(2,), groups=groups, both=True).metrics()
    assert isinstance(ava, AvaMAP)
    assert (ava.num_classes, ava.unscored, ava.groups, ava.corrected) == (
        CLASSES,
        (2,),
        groups,
        True,
    )
    (sports,) = make(metric="multisports", unscored=(2,)).metrics()
    assert isinstance(sports, MultiSportsMAP)
    assert (sports.num_classes, sports.unscored, sports.published) == (CLASSES, (2,), False)
    (tubes,) = make(metric="ucf24", unscored=(2,)).metrics()
    assert isinstance(tubes, ActionTubeMAP)
    assert (tubes.num_classes, tubes.unscored) == (CLASSES, (2,))
    with pytest.raises(UserError, match='is ava, multisports or ucf24, not "coco"'):
        make(metric="coco")
    with pytest.raises(UserError, match=r"unscored has class 4, but there are 4 classes; .*'\(\)'"):
        make(unscored=(2, 4))


def test_metrics_take_what_is_predicted():
    task = make()
    given = batch(([A, B], [{0}, {1}], [A, B]), ([A], [{2}], [FAR]))
    out = np.full((2, 4, CLASSES), -9, np.float32)
    out[0, 0, 0] = out[0, 1, 1] = out[1, 0, 2] = 3
    preds = predict(task, given, out) | {"mask": np.ones(2)}
    (metric,) = task.metrics()
    metric.update(preds)
    assert metric.compute()["map"] == pytest.approx(2 / 3)


def test_the_report_has_all_scores_and_a_row_a_class():
    task = make()
    given = batch(([A, B], [{0}, {1}], [A, B]), ([A], [{2}], [FAR]))
    out = np.full((2, 4, CLASSES), -9, np.float32)
    out[0, 0, 0] = out[0, 1, 1] = out[1, 0, 2] = 3
    preds = predict(task, given, out)
    found = task.report(preds, ["v,0001", "v,0002"], ("stand", "sit", "walk", "wave"))
    dumped = found.files["predictions.npz"]
    assert dumped["id"].tolist() == ["v,0001", "v,0002"]
    np.testing.assert_array_equal(dumped["score"], preds["score"])
    header, *rows = found.files["report.csv"]
    assert header == ("name", "n", "ap")
    assert [(row.name, row.n, row.ap) for row in rows[:3]] == [
        ("stand", 1, 1.0),
        ("sit", 1, 1.0),
        ("walk", 1, 0.0),
    ]
    assert found.lines == ["weakest classes: walk 0%, stand 100%, sit 100%"]


def test_no_box_leaves_its_device():
    """Matching and drawing are of each key frame alone."""
    given = batch(*[([A], [{0}], [NEAR_A])] * ROWS)
    mesh = meshes.build(8, 1)
    place = jax.tree.map(lambda x: meshes.shape_on(x, meshes.over_data(mesh)), given)
    task, rng = make(), jax.random.key(0)

    def step(given):
        found = task.prepare(rng, given, True)
        return task.loss(found["rois"] @ jnp.ones((4, CLASSES)), found)

    text = jax.jit(step).lower(place).compile().as_text() or ""
    assert "all-reduce(" in text
    assert crossings(text) == []
