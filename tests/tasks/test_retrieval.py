"""The contrastive loss, what retrieval predicts, and how it tells classes by their texts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.models.clip import Matched
from jaxvid.tasks.prompted import Prompted
from jaxvid.tasks.retrieval import Retrieval, unit

TASK = Retrieval(num_classes=1)


def features(n=5, texts=1, f=6, seed=0):
    rng = np.random.default_rng(seed)
    video = rng.standard_normal((n, f)).astype(np.float32)
    text = rng.standard_normal((n, texts, f)).astype(np.float32)
    return Matched(jnp.asarray(video), jnp.asarray(text), jnp.float32(7.0))


def naive_loss(out, kept):
    v, t = np.asarray(out.video, np.float64), np.asarray(out.text[:, 0], np.float64)
    cosine = [
        [v[i] @ t[j] / np.linalg.norm(v[i]) / np.linalg.norm(t[j]) for j in kept] for i in kept
    ]
    s = float(out.scale) * np.array(cosine)
    rows = [-np.log(np.exp(s[i, i]) / np.exp(s[i]).sum()) for i in range(len(kept))]
    columns = [-np.log(np.exp(s[i, i]) / np.exp(s[:, i]).sum()) for i in range(len(kept))]
    return (np.mean(rows) + np.mean(columns)) / 2


def test_the_loss_is_that_of_both_directions():
    out: Any = features(seed=1)
    loss, logs = TASK.loss(out, {"mask": jnp.ones(5)})
    np.testing.assert_allclose(loss, naive_loss(out, range(5)), rtol=1e-5)
    score = np.asarray(unit(out.video) @ unit(out.text[:, 0]).T)
    assert logs["v2t_r1"] == pytest.approx(np.mean(score.argmax(1) == np.arange(5)))
    assert logs["t2v_r1"] == pytest.approx(np.mean(score.argmax(0) == np.arange(5)))
    assert logs["t2v_r1"] != logs["v2t_r1"]


def test_the_loss_of_a_model_with_a_bias_is_that_of_single_pairs():
    out, mask = features(seed=1)._replace(bias=jnp.float32(-3.0)), jnp.array([1.0, 0, 1, 1, 1])
    cosine = np.asarray(unit(out.video) @ unit(out.text[:, 0]).T, np.float64)
    kept = [0, 2, 3, 4]
    wrong = [
        np.log1p(np.exp((-1 if i == j else 1) * (7 * cosine[i, j] - 3))) for i in kept for j in kept
    ]
    loss, _ = TASK.loss(out, {"mask": mask})
    np.testing.assert_allclose(loss, np.sum(wrong) / len(kept), rtol=1e-5)
    same = Prompted(num_classes=3).loss(out, {"mask": mask, "label": jnp.arange(5)})[0]
    np.testing.assert_allclose(same, loss, rtol=1e-6)
    other = Prompted(num_classes=3).loss(out, {"mask": mask, "label": jnp.zeros(5, int)})[0]
    right = [np.log1p(np.exp(3 - 7 * cosine[i, j])) for i in kept for j in kept]
    np.testing.assert_allclose(other, np.sum(right) / len(kept), rtol=1e-5)


def test_masked_samples_are_neither_queries_nor_candidates():
    out, mask = features(), jnp.array([1.0, 0.0, 1.0, 1.0, 0.0])
    loss, _ = TASK.loss(out, {"mask": mask})
    np.testing.assert_allclose(loss, naive_loss(out, [0, 2, 3]), rtol=1e-5)

    def total(video, text):
        return TASK.loss(Matched(video, text, out.scale), {"mask": mask})[0]

    for gradient in jax.grad(total, (0, 1))(out.video, out.text):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient[1]).max() == np.abs(gradient[4]).max() == 0
        assert np.abs(gradient[2]).max() > 0
    nothing, _ = TASK.loss(out, {"mask": jnp.zeros(5)})
    assert nothing == 0


def test_a_skipped_sample_of_zeros_has_a_finite_gradient():
    gradient = jax.grad(lambda x: unit(x).sum())(jnp.zeros((2, 4)))
    assert np.isfinite(gradient).all()


def test_predictions_have_length_one_and_know_which_texts_there_are():
    out = features(n=3, texts=2)
    text = jnp.array([[[5, 6], [7, 0]], [[5, 6], [0, 0]], [[5, 0], [6, 6]]])
    preds = TASK.predict(out, {"text": text, "mask": jnp.ones(3)})
    assert preds["text_mask"].tolist() == [[1, 1], [1, 0], [1, 1]]
    np.testing.assert_allclose(np.linalg.norm(preds["video"], axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(preds["text"], axis=-1), 1, rtol=1e-5)


def test_a_batch_of_videos_alone_goes_through():
    net = plug.load("models", dict(name="clip4clip", variant="test"))
    video = jnp.zeros((2, 1, 4, 32, 32, 3), jnp.uint8)
    batch = {"video": video, "text": jnp.ones((2, 1, 8), jnp.int32), "mask": jnp.ones(2)}

    def run(batch, variables=None):
        batch = TASK.prepare(jax.random.key(0), batch, False)
        if variables is None:
            return net.init(jax.random.key(0), **TASK.inputs(batch), train=False)
        return TASK.predict(net.apply(variables, **TASK.inputs(batch), train=False), batch)

    variables = jax.eval_shape(run, batch)
    alone = {k: v for k, v in batch.items() if k != "text"}
    assert jax.eval_shape(run, alone, variables)["video"].shape == (2, 8)
    assert jax.eval_shape(run, batch, variables)["text"].shape == (2, 1, 8)


def test_pixels_are_normalized_as_for_clip():
    video = jnp.array([0, 255, 100], jnp.uint8).reshape(1, 1, 1, 1, 1, 3)
    found = TASK.prepare(jax.random.key(0), {"video": video}, False)["video"].ravel()
    mean, std = np.array([122.771, 116.746, 104.093]), np.array([68.5, 66.632, 70.323])
    np.testing.assert_allclose(found, (np.array([0, 255, 100]) - mean) / std, rtol=1e-5)


def test_labels_are_told_by_their_texts_in_every_template():
    score = np.array([[0.20, 0.30], [0.22, 0.25], [0.10, 0.20]])  # labels, templates
    text = np.stack([score.ravel(), np.ones(6)], 1)
    preds = {"video": np.array([1.0, 0]), "text": text}
    found = TASK.describe(preds, ("a", "b", "c"), 2)
    shares = np.exp(100 * score) / np.exp(100 * score).sum(0)
    want = shares.mean(1)
    assert found.labels == ("a", "b") if want[0] > want[1] else ("b", "a")
    np.testing.assert_allclose(sorted(found.scores), sorted(want)[1:], rtol=1e-5)
    with pytest.raises(UserError, match="give it labels"):
        TASK.describe({"video": np.zeros(3)}, ("text",))


def test_the_report_tells_the_hardest():
    eye = np.eye(3, dtype=np.float32)
    preds = dict(video=eye, text=eye[[0, 2, 1]][:, None], text_mask=np.ones((3, 1)))
    report = TASK.report(preds, ["x", "y", "z"], ("text",))
    assert report.files["ranks.csv"][1:] == [("x", 1.0, 1.0), ("y", 2.5, 2.5), ("z", 2.5, 2.5)]
    assert report.lines == ["hardest to find: y (rank 2.5), z (rank 2.5), x (rank 1)"]
    assert report.files["predictions.npz"]["video"].shape == (3, 3)
