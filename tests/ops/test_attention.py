"""Softmax attention against loops over heads, queries and keys."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.ops.attention import attention

B, N, M, G, D, E = 2, 3, 5, 2, 4, 6


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def inputs(m=M):
    """Queries, keys and values; there are `m` keys."""
    return draw(B, N, G, D, seed=1), draw(B, m, G, D, seed=2), draw(B, m, G, E, seed=3)


def loops(q, k, v, added=0.0, scale=D**-0.5):
    """The same with numbers that are added to the scores (..., g, n, m)."""
    added = np.broadcast_to(np.float64(added), (B, G, N, k.shape[1]))
    out = np.zeros((B, N, G, E))
    for b, i, g in itertools.product(range(B), range(N), range(G)):
        scores = np.array([scale * q[b, i, g] @ key for key in k[b, :, g]]) + added[b, g, i]
        weights = np.exp(scores - scores.max())
        out[b, i, g] = weights / weights.sum() @ v[b, :, g]
    return out


def check(found, want):
    assert (found.shape, found.dtype) == ((B, N, G, E), jnp.float32)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, dict(scale=1.0), dict(scale=0.25)])
def test_values_are_averaged_by_the_products_of_queries_and_keys(options):
    check(attention(*inputs(), **options), loops(*inputs(), **options))


@pytest.mark.parametrize("shape", [(G, N, M), (B, 1, N, M), (N, M), (1, M)])
def test_a_bias_is_added_to_the_scores(shape):
    bias = draw(*shape)
    check(attention(*inputs(), bias=jnp.asarray(bias)), loops(*inputs(), bias))


@pytest.mark.parametrize("shape", [(G, N, M), (B, 1, N, M), (N, M), (B, 1, 1, M)])
def test_a_mask_hides_keys_or_adds_constants(shape):
    shown = np.random.default_rng(0).random(shape) < 0.6
    shown[..., 2] = True
    check(attention(*inputs(), mask=shown), loops(*inputs(), np.where(shown, 0, -np.inf)))
    added = np.where(shown, 0, -100).astype(np.float32)
    check(attention(*inputs(), mask=added), loops(*inputs(), added))


def test_causal_queries_see_no_later_keys():
    earlier = np.where(np.tri(N), 0, -np.inf)
    check(attention(*inputs(N), causal=True), loops(*inputs(N), earlier))


def test_bias_mask_and_causal_go_together():
    bias, shown = draw(G, N, N), np.ones((B, 1, N, N), bool)
    shown[:, :, 1:, 0] = False
    want = bias + np.where(shown & np.tri(N, dtype=bool), 0, -np.inf)
    found = attention(*inputs(N), bias=jnp.asarray(bias), mask=shown, causal=True)
    check(found, loops(*inputs(N), want))


def test_no_axis_before_the_tokens_is_needed():
    q, k, v = inputs()
    for found in (attention(q[0], k[0], v[0]), attention(q[None], k[None], v[None])[0, 0]):
        np.testing.assert_allclose(found, attention(q, k, v)[0], rtol=1e-5, atol=1e-6)


def test_a_bias_has_a_gradient_and_a_mask_has_none():
    def total(bias, mask):
        return jnp.square(attention(*inputs(), bias=bias, mask=mask)).sum()

    zeros = jnp.zeros((G, N, M))
    bias, mask = jax.grad(total, (0, 1))(zeros, zeros)
    assert np.abs(bias).min() > 0
    assert np.abs(mask).max() == 0


def test_bfloat16_scores_are_normalised_in_float32():
    q, k, v = (jnp.asarray(x, jnp.bfloat16) for x in inputs())
    found = attention(q, k, v, bias=jnp.zeros((G, N, M)))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float32(found), loops(*inputs()), atol=0.05)
    program = str(jax.make_jaxpr(lambda *x: attention(*x))(q, k, v))
    assert "exp" in program and all(
        "f32" in line for line in program.splitlines() if " exp " in line
    )
