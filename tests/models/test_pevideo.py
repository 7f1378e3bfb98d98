"""PE-AV's towers of videos and texts: what a padded video and a token see."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxvid.models.pevideo import ConvBlock, TextEncoder
from tests.conftest import fill

TEXT = np.array([[60, 5, 9, 12, 7, 3]], np.int32)


@functools.cache
def text_tower(depth):
    net = TextEncoder(64, 8, 16, depth, 2, 24, reach=1)
    variables = fill(jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.asarray(TEXT))))
    return variables, jax.jit(net.apply)


def first(text, depth):
    variables, apply = text_tower(depth)
    return apply(variables, text)


def test_padding_changes_no_text():
    padded = np.pad(TEXT[:, :4], [(0, 0), (0, 2)])
    variables, apply = text_tower(2)
    want = apply(variables, TEXT[:, :4])
    np.testing.assert_allclose(first(padded, 2), want, rtol=1e-4, atol=1e-5)


def test_the_first_block_of_three_sees_all_tokens():
    other = TEXT.copy()
    other[0, 5] = 8
    assert np.abs(first(other, 1) - first(TEXT, 1)).max() > 1e-4
    variables, apply = text_tower(2)
    params = dict(variables["params"])
    silent = jax.tree.map(jnp.zeros_like, params["block0"])  # leaves one that sees its neighbors
    near = {"params": {**params, "block0": silent}}
    np.testing.assert_array_equal(apply(near, other), apply(near, TEXT))
    other[0, 1] = 8
    assert np.abs(apply(near, other) - apply(near, TEXT)).max() > 1e-4


def test_statistics_leave_out_padded_frames():
    net, rng = ConvBlock(), np.random.default_rng(0)
    x = rng.standard_normal((1, 4, 6)).astype(np.float32)
    variables = fill(jax.eval_shape(lambda: net.init(jax.random.key(0), x, None)))
    valid = np.array([[True, True, True, False]])
    found = net.apply(variables, x, valid)
    np.testing.assert_allclose(found[:, :2], net.apply(variables, x[:, :3], None)[:, :2], 1e-4)
    x[:, 3] = 100
    np.testing.assert_allclose(net.apply(variables, x, valid), found, rtol=1e-5)
