"""TRN: which tuples of frames it classifies."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.models import trn
from tests.conftest import fill
from tests.models.test_resnets import build, draw, exported, trace


def head(multi_scale=True, frames=4):
    """The head, its variables, and features of frames."""
    net, x = (
        trn.RelationClassifier(3, 6, frames, multi_scale, 0.0, jnp.float32),
        draw(2, frames, 1, 1, 5),
    )
    shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), x)
    return net, fill(shapes), x


def scores(params, features, i):
    """Of one tuple of features (b, m, d), by the relation `i`."""
    y = np.maximum(features.reshape(len(features), -1), 0)
    for name in ("fc1", "fc2"):
        layer = params[f"relation{i}"][name]
        y = y @ layer["kernel"] + layer["bias"]
        y = np.maximum(y, 0) if name == "fc1" else y
    return y


def test_evaluation_takes_the_published_tuples():
    whole, *rest = trn.fixed_tuples(8)
    assert whole.tolist() == [[*range(8)]]
    assert [rows.shape for rows in rest] == [(3, m) for m in range(7, 1, -1)]
    assert rest[-1].tolist() == [[6, 7], [1, 4], [2, 3]]
    assert rest[0].tolist()[0] == [0, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("train", [False, True])
def test_scores_are_sums_over_tuples_in_the_order_of_time(train):
    """Training takes some three tuples of each number of frames, and others with another key."""
    net, variables, x = head()
    params = variables["params"]
    features = x.mean((2, 3)) @ params["fc"]["kernel"] + params["fc"]["bias"]

    def total(choice):
        parts = [features, *(features[:, [*rows]] for rows in itertools.chain(*choice))]
        return sum(scores(params, part, 4 - part.shape[1]) for part in parts)

    if not train:
        _, *choice = trn.fixed_tuples(4)
        np.testing.assert_allclose(net.apply(variables, x, train=False), total(choice), rtol=1e-4)
        return
    sets = [itertools.combinations(itertools.combinations(range(4), m), 3) for m in (3, 2)]
    possible = np.stack([total(choice) for choice in itertools.product(*sets)])
    found = set()
    for seed in range(4):
        rngs = {"dropout": jax.random.key(seed)}
        got = net.apply(variables, x, train=True, rngs=rngs)
        gaps = np.abs(possible - got).max((1, 2))
        assert gaps.min() < 1e-4
        found.add(int(gaps.argmin()))
    assert len(found) > 1


def test_a_single_scale_is_one_relation_of_all_frames():
    net, variables, x = head(multi_scale=False)
    assert variables["params"].keys() == {"fc", "relation"}
    assert variables["params"]["relation"]["fc1"]["kernel"].shape == (4 * 6, 12)
    assert (
        np.abs(
            net.apply(variables, x[:, ::-1], train=False) - net.apply(variables, x, train=False)
        ).max()
        > 1e-3
    )


@pytest.mark.parametrize("multi_scale,count", [(True, 7), (False, 1)])
def test_names_of_the_published_file(multi_scale, count):
    net = build("trn", multi_scale=multi_scale)
    names, _ = exported(net, trace(net, 1, 8, 32, 32, 3), trn.WEIGHTS["mmaction"])
    first = "cls_head.consensus." + ("fc_fusion_scales.0" if multi_scale else "classifier")
    assert names[f"{first}.1.weight"].shape == (16 if multi_scale else 32, 8 * 16)
    assert sum(name.startswith("cls_head.consensus") for name in names) == 4 * count


def test_another_number_of_frames_is_an_error():
    with pytest.raises(UserError, match=r"model\.frames=8, but clips have 5"):
        trace(build("trn"), 1, 5, 32, 32, 3)
