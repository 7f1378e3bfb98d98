"""Pooling against `reduce_window` and its gradient, in every kind of window."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.ops.pooling import max_pool

# shape of the input, sizes, strides, padding
CASES: list[tuple[tuple[int, ...], Any, Any, Any]] = [
    ((2, 3, 8, 11, 2), (3, 3), (2, 2), (1, 1)),
    ((2, 3, 7, 6, 2), (3, 3), (2, 2), ()),
    ((2, 7, 5, 4, 2), (2, 2, 2), (), ()),
    ((2, 9, 3, 2), (3, 1), (2, 1), (1, 0)),
    ((2, 7, 6, 2), (2, 2), (3, 4), (1, 0)),
    ((1, 17, 18, 1), (17, 17), (1, 1), (8, 8)),  # more positions than a byte has numbers
]


def reference(x, size, strides, padding):
    ones = (1,) * (x.ndim - 2 - len(size))
    pads: Any = [(0, 0)] * len(ones) + [(p, p) for p in padding or [0] * len(size)]
    return nn.max_pool(x, (*ones, *size), (*ones, *(strides or size)), pads)


def draw(shape, dtype=jnp.float32):
    """Values of which many are equal, below and at 0, and a gradient for each."""
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.integers(-3, 1, shape), dtype) for _ in range(2)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_results_and_gradients_are_those_of_reduce_window(case):
    shape, *window = case
    x, back = draw(shape)

    def run(pool):
        y, transpose = jax.vjp(lambda x: pool(x, *window), x)
        return y, transpose(back.ravel()[: y.size].reshape(y.shape))[0]

    for got, want in zip(run(max_pool), run(reference), strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(max_pool(x, *window), reference(x, *window))


def test_bfloat16_is_summed_in_float32():
    x, _ = draw((1, 3, 3, 1), jnp.bfloat16)
    x = x.at[0, 1, 1].set(9)  # the maximum of all nine windows
    back = jnp.array([256, 1, 1, 1, 1, 1, 1, 1, 1], jnp.bfloat16).reshape(x.shape)
    y, transpose = jax.vjp(lambda x: max_pool(x, (3, 3), (1, 1), (1, 1)), x)
    (got,) = transpose(back)
    assert y.dtype == got.dtype == jnp.bfloat16
    assert got[0, 1, 1, 0] == 264 and got.sum() == 264


def test_nan_stays():
    x = jnp.array([0, 1, jnp.nan, 2, 3, 4], jnp.float32).reshape(1, 6, 1)
    y, _ = jax.vjp(lambda x: max_pool(x, (2,)), x)
    np.testing.assert_array_equal(y.ravel(), [1, np.nan, 4])
    np.testing.assert_array_equal(max_pool(x, (2,)), y)


def test_the_gradient_needs_one_byte_for_each_window():
    x = jax.ShapeDtypeStruct((2, 8, 8, 4), jnp.bfloat16)
    _, transpose = jax.eval_shape(lambda x: jax.vjp(lambda x: max_pool(x, (2, 2)), x), x)
    assert [(r.shape, r.dtype) for r in jax.tree.leaves(transpose)] == [((2, 4, 4, 4), jnp.uint8)]
