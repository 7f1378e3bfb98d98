"""Criteria of recognition against published values, formulas and their own micro-batches."""

import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.tasks.multi_label import MultiLabel
from jaxvid.tasks.recognition import Recognition
from tests.conftest import CASES

SCORE = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
LABEL = np.array([0, 3, 1, 1, 2, 3], np.int32)


def criterion(task, label, mask=None, train=True):
    """Function from logits to the loss of a batch; soft labels replace the targets."""
    label = np.array(label)
    soft = label.ndim == 2 and not isinstance(task, MultiLabel)
    given = {
        "video": np.zeros((len(label), 1, 1, 1, 1, 3), np.uint8),
        "label": label.argmax(1) if soft else label,
        "mask": np.ones(len(label), np.float32) if mask is None else np.float32(mask),
    }
    ready = task.prepare(jax.random.key(0), given, train)
    if soft:
        ready["target"] = jnp.array(label, jnp.float32)
        ready |= task._scale(ready, train)
    return lambda out: task.loss(jnp.asarray(out, jnp.float32), ready)[0]


def log_softmax(x):
    x = np.float64(x)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.mark.parametrize("name", ["Losses-06", "Losses-07", "Losses-09"])
def test_published_losses(name):
    args, given, want = (CASES[name][key] for key in ("args", "input", "expected"))
    options = {}
    if "class_weight" in args:
        options = dict(class_weight=tuple(args["class_weight"]))
    if "beta" in args:
        counts = tuple(args["samples_per_cls"])
        options = dict(criterion="focal", gamma=args["gamma"], class_counts=counts)
        options |= dict(class_balance=args["beta"])
    loss = criterion(Recognition(num_classes=3, **options), given["label"])
    assert float(loss(given["logits"])) == pytest.approx(want, rel=1e-6)


# The records of losses.json: options of the task, and the key of the labels
RECORDS = {
    "CrossEntropyLoss hard": (Recognition, {}, "label"),
    "CrossEntropyLoss hard class_weight": (Recognition, {}, "label"),
    "CrossEntropyLoss soft": (Recognition, {}, "soft"),
    "CrossEntropyLoss soft class_weight": (Recognition, {}, "soft"),
    "BCELossWithLogits": (MultiLabel, {}, "target"),
    "BCELossWithLogits class_weight": (MultiLabel, {}, "target"),
    "CBFocalLoss gamma=2 beta=0.9999": (
        Recognition,
        dict(criterion="focal", gamma=2.0, class_balance=0.9999),
        "label",
    ),
    "NLLLoss": (Recognition, dict(criterion="nll"), "label"),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", RECORDS)
def test_values_and_gradients_of_the_goldens(name):
    folder = os.environ.get("JAXVID_GOLDENS")
    if not folder:
        pytest.skip("JAXVID_GOLDENS names no folder of golden outputs")
    records = {r["name"]: r for r in json.loads(Path(folder, "losses.json").read_text())}
    kind, options, key = RECORDS[name]
    given = records[name]["inputs"]
    for ours, theirs in (("class_weight", "class_weight"), ("class_counts", "samples_per_cls")):
        if theirs in given:
            options = options | {ours: tuple(given[theirs])}
    score = np.float32(given["score"])
    loss = criterion(kind(num_classes=score.shape[1], **options), given[key])
    before = jax.nn.log_softmax if name == "NLLLoss" else lambda x: x
    value, gradient = jax.value_and_grad(lambda x: loss(before(x)))(score)
    assert float(value) == pytest.approx(records[name]["value"], rel=1e-6)
    np.testing.assert_allclose(gradient, records[name]["grad"]["score"], rtol=1e-4, atol=1e-7)


def test_class_weights_divide_by_those_of_the_batch():
    """In training, and of unmasked samples; in evaluation, samples do not depend on each other."""
    weights = np.array([1.0, 2.0, 4.0, 0.5])
    task = Recognition(num_classes=4, class_weight=tuple(weights.tolist()))
    mask = np.array([1, 1, 0, 1, 1, 1])
    own = -log_softmax(SCORE)[np.arange(6), LABEL] * weights[LABEL]
    found = criterion(task, LABEL, mask)(SCORE)
    assert float(found) == pytest.approx((mask * own).sum() / (mask * weights[LABEL]).sum(), 1e-5)
    found = criterion(task, LABEL, mask, train=False)(SCORE)
    assert float(found) == pytest.approx((mask * own).sum() / mask.sum(), 1e-5)


def test_rare_classes_weigh_more_in_the_cross_entropy():
    counts = (1000, 10, 1, 100)
    task = Recognition(num_classes=4, class_balance=0.99, class_counts=counts)
    raw = 0.01 / (1 - 0.99 ** np.array(counts))
    weights = raw / raw.mean()
    assert np.argsort(-weights).tolist() == [2, 1, 3, 0]
    own = -log_softmax(SCORE)[np.arange(6), LABEL] * weights[LABEL]
    assert float(criterion(task, LABEL)(SCORE)) == pytest.approx(own.mean(), 1e-5)


def test_predictions_of_the_focal_loss_are_sigmoids():
    task, other = (Recognition(num_classes=4, criterion=c) for c in ("focal", "nll"))
    batch = {"mask": np.ones(6, np.float32), "label": LABEL}
    found = task.predict(jnp.array(SCORE), batch)["score"]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-SCORE)), rtol=1e-6)
    probabilities = np.exp(log_softmax(SCORE))
    found = other.predict(jnp.log(jnp.array(probabilities, jnp.float32)), batch)["score"]
    np.testing.assert_allclose(found, probabilities, rtol=1e-5)


@pytest.mark.parametrize(
    "options,words",
    [
        (dict(class_weight=(1.0, 2.0)), "class_weight has 2 values for 4 classes"),
        (dict(class_counts=(1,)), "class_counts has 1 values for 4 classes"),
        (dict(class_weight=(1.0,) * 4, class_balance=0.9), "class_weight or class_balance, not"),
    ],
)
def test_weights_that_do_not_fit(options, words):
    with pytest.raises(UserError, match=words):
        Recognition(num_classes=4, **options)
