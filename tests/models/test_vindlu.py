"""Wrong pairs, the loss, and the ranking of pairs, choices and answers, on tiny arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.layers.beit import relative_index
from jaxvid.metrics.answers import Answers
from jaxvid.metrics.matching import Matches
from jaxvid.models import vindlu
from jaxvid.tasks.matching import Matching
from jaxvid.tasks.multiple_choice import MultipleChoice


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_wrong_pairs_are_similar_ones_of_the_group():
    rng = np.random.default_rng(0)
    video, text = (unit(rng.standard_normal((6, 4))) for _ in range(2))
    texts, videos = vindlu.wrong(video, text, 0.1, 3, None)
    for group in range(2):
        rows = slice(3 * group, 3 * group + 3)
        score = video[rows] @ text[rows].T - 9 * np.eye(3)
        assert texts[group].tolist() == score.argmax(1).tolist()
        assert videos[group].tolist() == score.argmax(0).tolist()
    drawn = [vindlu.wrong(video, text, 1.0, 3, jax.random.key(i))[0] for i in range(20)]
    assert not (np.array(drawn) == np.arange(3)).any() and np.ptp(drawn, axis=0).min() > 0
    assert vindlu.wrong(video, text, 0.1, 4, None)[0].shape == (1, 6)
    with pytest.raises(UserError, match="a batch of one"):
        vindlu.wrong(video[:1], text[:1], 0.1, 3, jax.random.key(0))


def test_rows_are_taken_from_their_own_group():
    x = jnp.arange(12).reshape(6, 1, 2)
    got = vindlu.pair_up(x, jnp.array([[2, 0, 0], [1, 1, 0]]))
    assert got[:, 1, 0].tolist() == [4, 0, 0, 8, 8, 6]
    assert got[:, 0].tolist() == x[:, 0].tolist()


def test_the_bias_of_two_patches_depends_on_their_distance():
    index = relative_index(3)
    assert index.shape == (10, 10) and index.max() == 27
    assert index[0, 0] == 27 and set(index[0, 1:]) == {25} and set(index[1:, 0]) == {26}
    assert index[1, 5] == index[5, 9] and index[5, 1] != index[1, 5]


def test_likelihood_counts_the_tokens_after_the_first():
    logits = np.random.default_rng(0).standard_normal((2, 4, 7))
    ids = np.array([[2, 5, 3, 0], [2, 6, 0, 0]])
    log = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    want = [log[0, 0, 5] + log[0, 1, 3], log[1, 0, 6]]
    np.testing.assert_allclose(vindlu.likelihood(logits, ids), want, rtol=1e-5)


def test_the_loss_is_contrastive_and_of_the_pairs():
    rng = np.random.default_rng(0)
    video, text = (unit(rng.standard_normal((3, 4))) for _ in range(2))
    match = rng.standard_normal((3, 3, 2))
    out = vindlu.Compared(video, text[:, None], jnp.float32(0.5), jnp.asarray(match), None)
    loss, logs = Matching(num_classes=1).loss(out, {"mask": jnp.ones(3)})
    score = video @ text.T / 0.5
    ways = [np.log(np.exp(s).sum(1)) - np.diag(s) for s in (score, score.T)]
    log = match - np.log(np.exp(match).sum(-1, keepdims=True))
    of_match = -(log[:, 0, 1] + log[:, 1, 0] + log[:, 2, 0]).mean() / 3
    np.testing.assert_allclose(logs["loss_match"], of_match, rtol=1e-5)
    np.testing.assert_allclose(loss, np.mean(ways) + of_match, rtol=1e-5)


def test_candidates_are_ranked_again():
    """Both texts find video 0 by features, and the second step corrects one of them."""
    metric = Matches(topk=2)
    video, text = np.eye(3)[[0, 1, 2]], unit(np.array([[1, 0.1, 0], [1, 0.2, 0], [0, 0, 1.0]]))
    ids = np.arange(3)[:, None, None]
    tokens = np.arange(3.0)[:, None, None]
    masks = dict(mask=np.ones(3), text_mask=np.ones((3, 1)))
    metric.update(dict(video=video, text=text[:, None], ids=ids, tokens=tokens, **masks))
    asked = []

    def predict(batch):
        asked.append(batch)
        same = batch["tokens"][:, :, 0] == batch["text"][..., 0]
        return {"match": np.where(same, 5.0, -5.0)}

    assert sum(metric.second_pass(predict)) < 9
    assert {batch["text"].shape for batch in asked} == {(1, 3, 1)}
    assert metric.compute()["t2v_r1"] == 1
    assert Matches.__mro__[1].compute(metric)["t2v_r1"] == pytest.approx(2 / 3)


def test_a_choice_is_a_mean_of_two_probabilities():
    task = MultipleChoice(num_classes=2)
    match = jnp.log(jnp.array([[[0.2, 0.8], [0.6, 0.4]]]))
    text = jnp.array([[[0.0, 1.0], [1.0, 0.0]]])
    out = vindlu.Compared(jnp.array([[1.0, 0.0]]), text, jnp.float32(1.0), match, None)
    got = task.predict(out, {"label": jnp.array([0])})["score"][0]
    right = np.exp(1) / (np.exp(1) + 1)
    np.testing.assert_allclose(got, [0.56 + 0.3 * (1 - right), 0.28 + 0.3 * right], rtol=1e-5)


def test_accuracy_is_the_credit_of_the_best_answers():
    metric = Answers()
    credit = np.array([[0.5, 1.0], [0.0, 1.0], [1.0, 1.0]])
    score = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    metric.update(dict(score=score, credit=credit, mask=np.array([1, 1, 0])))
    assert metric.compute() == {"accuracy": 0.75}
