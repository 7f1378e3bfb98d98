"""The boundary-matching layer against loops over its published definition."""

import hashlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.ops import boundary

SETTINGS = dict(samples=4, per_sample=3, ratio=0.5)


def naive_mask(frames, samples, per_sample, ratio):
    """(t, n, d, s), a cell and a place at a time."""
    mask = np.zeros((frames, samples, frames, frames))
    for d in range(frames):
        for s in range(frames - d):
            length = d + 1.0
            first, last = s - length * ratio, s + d + length * ratio
            step = (last - first) / (samples * per_sample - 1)
            for i in range(samples * per_sample):
                place = first + step * i
                share, whole = math.modf(place)  # both towards 0, so a place below 0 has share < 0
                for t, weight in ((int(whole), 1 - share), (math.ceil(place), share)):
                    if 0 <= t < frames:
                        mask[t, i // per_sample, d, s] += weight / per_sample
    return mask


@pytest.mark.parametrize("frames,ratio", [(1, 0.5), (7, 0.5), (10, 0.5), (9, 0.25)])
def test_the_mask_is_that_of_its_definition(frames, ratio):
    want = naive_mask(frames, 4, 3, ratio)
    mask = boundary.sampling_mask(frames, 4, 3, ratio)
    assert mask.shape == (frames, 4 * frames * frames)
    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask, want.reshape(frames, -1), atol=1e-7)


def test_the_mask_of_the_published_model_is_exact():
    """By the hash of the 32 M numbers that upstream stores."""
    mask = boundary.sampling_mask(100, samples=32, per_sample=3, ratio=0.5)
    digest = hashlib.sha1(mask.tobytes()).hexdigest()
    assert digest == "015e2064dc69786e03479b226549e0fff2484bb0"


def test_valid_cells_end_within_the_video():
    assert boundary.valid_cells(3).tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0]]


def published(x, kernel, mask):
    """Sample every cell, then mix channels: the order of the paper."""
    b, t, c = x.shape
    sampled = jnp.einsum("btc,tm->bcm", x, mask).reshape(b, c, -1, t, t)
    return jnp.einsum("bcnds,nco->bdso", sampled, kernel)


@pytest.mark.parametrize("frames,samples,ratio", [(7, 4, 0.5), (12, 5, 0.25)])
def test_sampling_and_its_gradients_are_the_published_ones(frames, samples, ratio):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, frames, 3)).astype(np.float32)
    kernel = rng.standard_normal((samples, 3, 5)).astype(np.float32)
    weight = rng.standard_normal((2, frames, frames, 5)).astype(np.float32)
    mask = naive_mask(frames, samples, 3, ratio).reshape(frames, -1).astype(np.float32)

    def run(function):
        def value(x, kernel):
            out = function(x, kernel)
            return (weight * out).sum(), out

        return jax.jit(jax.grad(value, argnums=(0, 1), has_aux=True))(x, kernel)

    ours = run(lambda x, k: boundary.sample_cells(x, k, samples, 3, ratio))
    want = run(lambda x, k: published(x, k, mask))
    for got, wanted in zip(jax.tree.leaves(ours), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    outside = ours[1][:, ~boundary.valid_cells(frames)]
    assert outside.size
    assert not np.any(outside)


def test_the_result_has_the_dtype_of_the_features():
    x, kernel = jnp.ones((1, 6, 2), jnp.bfloat16), jnp.ones((4, 2, 3), jnp.bfloat16)
    found = jax.eval_shape(lambda x, k: boundary.sample_cells(x, k, **SETTINGS), x, kernel)
    assert found.dtype == jnp.bfloat16


def test_no_array_of_a_step_holds_the_samples_of_all_cells():
    """Upstream's (b, c, n, d, s) would be the largest by far."""
    b, t, c, o, n = 8, 16, 32, 4, 8
    x, kernel = jnp.ones((b, t, c)), jnp.ones((n, c, o))
    settings = dict(samples=n, per_sample=3, ratio=0.5)
    step = jax.grad(lambda x, k: boundary.sample_cells(x, k, **settings).sum(), argnums=(0, 1))
    compiled = jax.jit(step).lower(x, kernel).compile()
    memory = compiled.memory_analysis()
    assert memory.temp_size_in_bytes < b * c * n * t * t * 4 / 2
