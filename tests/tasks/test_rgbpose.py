"""Two classifiers: weights of their losses, their fusion, and the metrics of each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.errors import UserError

RNG = np.random.default_rng(0)
OUT = tuple(
    jnp.array(RNG.standard_normal((6, 5)), jnp.float32) for _ in range(2)
)  # 3 clips, 2 views
LABEL = np.array([1, 2, 4], np.int32)
BATCH = {"label": LABEL, "mask": np.ones(3, np.float32), "target": jax.nn.one_hot(LABEL, 5)}


def task(**options):
    return plug.load("tasks", dict(name="rgbpose", **options), num_classes=5)


def test_losses_are_weighted_and_logged():
    loss, logs = task(loss_weights=(1.0, 0.5)).loss(OUT, BATCH)
    plain = plug.load("tasks", dict(name="recognition"), num_classes=5)
    rgb, pose = (plain.loss(out, BATCH)[0] for out in OUT)
    np.testing.assert_allclose(loss, rgb + 0.5 * pose, rtol=1e-6)
    np.testing.assert_allclose([logs["loss_rgb"], logs["loss_pose"]], [rgb, pose], rtol=1e-6)


@pytest.mark.parametrize("fusion", [(1.0, 1.0), (2.0, 1.0), (1.0, 0.0)])
def test_probabilities_of_views_and_of_classifiers_are_averaged(fusion):
    preds = task(fusion=fusion).predict(OUT, BATCH)
    rgb, pose = (jax.nn.softmax(out).reshape(3, 2, 5).mean(1) for out in OUT)
    expected = (fusion[0] * rgb + fusion[1] * pose) / sum(fusion)
    np.testing.assert_allclose(preds["score"], expected, rtol=1e-5)
    np.testing.assert_allclose(preds["rgb"], rgb, rtol=1e-5)
    np.testing.assert_allclose(preds["pose"], pose, rtol=1e-5)


def test_each_classifier_has_its_accuracy():
    right = np.eye(5, dtype=np.float32)[LABEL]
    preds = {"score": right, "rgb": right, "pose": 1 - right, "label": LABEL, "mask": np.ones(3)}
    found = {}
    for metric in task().metrics():
        metric.update(preds)
        found |= metric.compute()
    assert (found["top1"], found["rgb_top1"], found["pose_top1"]) == (1, 1, 0)


def test_a_fusion_of_nothing_is_an_error():
    with pytest.raises(UserError, match="fusion: one of the weights must be above 0"):
        task(fusion=(0.0, 0.0))
