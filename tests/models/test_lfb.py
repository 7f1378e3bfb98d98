"""Long-term feature banks: what the operators make of a bank, and detectors without one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.errors import UserError
from tests.conftest import fill
from tests.models.test_fast_rcnn import BOXES, draw

ROIS, BANK = draw(1, 3, 2, 2, 6), draw(1, 5, 6, seed=1)


def build(name="lfb", **options):
    spec = dict(name=name, backbone=dict(name="slowonly", variant="test"), **options)
    return plug.load("models", spec, num_classes=4)


@functools.cache
def operator(name):
    """The features of boxes joined with those of the bank, (3, c), and the variables."""
    net = build(operator=name, latent=4).head.relation
    inputs = ROIS, None, None, BANK
    start = functools.partial(net.init, jax.random.key(0), train=False)
    variables = fill(jax.eval_shape(start, *inputs))
    return np.asarray(net.apply(variables, *inputs, train=False))[0, :, 0, 0], variables


@pytest.mark.parametrize("name,pool", [("avg", np.mean), ("max", np.max)])
def test_a_bank_is_pooled(name, pool):
    out, variables = operator(name)
    assert not variables
    np.testing.assert_allclose(out[:, :6], ROIS[0].max((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(out[:, 6:], np.tile(pool(BANK[0], axis=0), (3, 1)), rtol=1e-5)


def test_boxes_attend_to_a_bank():
    """Scaled products, then normalization and ReLU before the last layer; twice."""
    out, variables = operator("non_local")
    params = variables["params"]
    found = dense(params["short"], ROIS[0].max((1, 2)))
    bank = dense(params["long"], BANK[0])
    for part in (params["attend1"], params["attend2"]):
        query, key, value = (
            dense(part[k], x) for k, x in dict(query=found, key=bank, value=bank).items()
        )
        x = np.asarray(jax.nn.softmax(query @ key.T / 2, -1)) @ value
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        x = np.maximum(x * part["norm"]["scale"] + part["norm"]["bias"], 0)
        found = found + dense(part["out"], x)
    np.testing.assert_allclose(out[:, 6:], found, rtol=1e-3, atol=1e-4)


def dense(part, x):
    return x @ part["kernel"] + part["bias"]


@pytest.mark.parametrize("name,bank", [("lfb", None), ("fast_rcnn", BANK), ("acrn", BANK)])
def test_only_this_model_needs_a_bank(name, bank):
    video = jnp.zeros((1, 4, 32, 32, 3))
    with pytest.raises(UserError, match="the model lfb, and no other, needs a feature bank"):
        build(name).init(jax.random.key(0), video, BOXES, None, bank, train=False)
