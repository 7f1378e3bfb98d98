"""ACRN: boxes beside all positions, and padding that has no part."""

import functools

import jax
import numpy as np

from jaxvid import plug
from tests.conftest import fill
from tests.models.test_fast_rcnn import draw

PADDING = np.array([[True, True, False], [True, False, False]])


@functools.cache
def relation():
    """The part of the head that is new, its variables, and 2 samples of 3 boxes (2, 2 bins)."""
    spec = dict(name="acrn", backbone=dict(name="slowonly", variant="test"), depth=2)
    net = plug.load("models", spec, num_classes=4).head.relation
    rois, maps = draw(2, 3, 2, 2, 4), draw(2, 5, 6, 4, seed=1)
    inputs = rois, maps, np.ones((2, 3), bool), None
    start = functools.partial(net.init, jax.random.key(0), train=False)
    return net, fill(jax.eval_shape(start, *inputs)), inputs


def test_the_first_convolution_is_that_of_joined_features():
    net, variables, (rois, maps, valid, _) = relation()
    kernel = variables["params"]["conv1"]["kernel"][0, 0, 0]
    boxes = np.broadcast_to(rois.max((2, 3))[:, :, None, None], (2, 3, 5, 6, 4))
    around = np.broadcast_to(maps[:, None], (2, 3, 5, 6, 4))
    _, state = net.apply(
        variables, *(rois, maps, valid, None), train=False, capture_intermediates=True
    )
    (pairs,) = state["intermediates"]["conv1"]["__call__"]
    np.testing.assert_allclose(pairs, np.concatenate([boxes, around], -1) @ kernel, atol=1e-5)


def test_padding_is_skipped_in_evaluation():
    net, variables, (rois, maps, every, _) = relation()
    apply = jax.jit(functools.partial(net.apply, train=False))
    whole, some = (
        apply(variables, rois, maps, every, None),
        apply(variables, rois, maps, PADDING, None),
    )
    np.testing.assert_allclose(some[PADDING], whole[PADDING], atol=1e-5)
    assert not np.asarray(some[:, 2]).any()
    np.testing.assert_allclose(
        net.apply(variables, rois, maps, None, None, train=False), whole, atol=1e-5
    )


def test_padding_has_no_part_in_batch_normalization():
    net, variables, (rois, maps, _, _) = relation()
    rois = np.where(PADDING[..., None, None, None], rois, 100 * rois)
    out, state = net.apply(
        variables, rois, maps, PADDING, None, train=True, mutable=["batch_stats"]
    )
    pairs = [(rois[0, :2], maps[:1]), (rois[1, :1], maps[1:])]
    kernel = variables["params"]["conv1"]["kernel"][0, 0, 0]
    real = np.concatenate(
        [b.max((1, 2))[:, None, None] @ kernel[:4] + m @ kernel[4:] for b, m in pairs]
    )
    mean = state["batch_stats"]["combine"]["bn1"]["mean"]
    was = variables["batch_stats"]["combine"]["bn1"]["mean"]
    np.testing.assert_allclose(mean, 0.9 * was + 0.1 * real.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    var, was = (s["batch_stats"]["combine"]["bn1"]["var"] for s in (state, variables))
    np.testing.assert_allclose(var, 0.9 * was + 0.1 * real.var((0, 1, 2), ddof=1), rtol=1e-4)
    assert np.isfinite(out).all()
