"""Decomposed relative positions against loops over queries and keys."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.ops.position import interpolation
from jaxvid.ops.relative_position import resized, rows, with_relative_positions

D, HEADS, SCALE = 5, 2, 0.3


def inputs(queries, keys, lengths, first):
    """Return queries, keys and tables, in float64."""
    rng = np.random.default_rng(0)
    q, k = (
        rng.standard_normal((2, first + int(np.prod(grid)), HEADS, D)) for grid in (queries, keys)
    )
    return q, k, [rng.standard_normal((length, D)) for length in lengths]


def looped(q, k, tables, grids, first):
    """Return the scores (b, g, n, m)."""
    scores = SCALE * np.einsum("bngd,bmgd->bgnm", q, k)
    places = (list(itertools.product(*map(range, grid))) for grid in grids)
    for (i, at), (j, to) in itertools.product(*map(enumerate, places)):
        for axis, table in enumerate(tables):
            n, m = (grid[axis] for grid in grids)
            distance = at[axis] * max(m / n, 1) - to[axis] * max(n / m, 1) + (m - 1) * max(n / m, 1)
            product = q[:, first + i] @ table[int(distance + 1e-6)]
            scores[:, :, first + i, first + j] += product
    return scores


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    "grids", [((2, 4, 6), (2, 2, 3)), ((2, 3, 3), (2, 3, 3)), ((1, 2, 2), (3, 4, 2))]
)
def test_scores_are_those_of_loops(grids, first):
    lengths = [2 * max(pair) - 1 for pair in zip(*grids, strict=True)]
    q, k, tables = inputs(*grids, lengths, first)
    with jax.enable_x64(True):
        new = with_relative_positions(*map(jnp.asarray, (q, k)), tables, grids, first, SCALE)
        found = np.einsum("bngd,bmgd->bgnm", *map(np.asarray, new))
    np.testing.assert_allclose(found, looped(q, k, tables, grids, first), atol=1e-12)


def test_tables_of_another_length_are_resized():
    grids, lengths = ((2, 4, 4), (2, 2, 2)), (5, 3, 9)
    q, k, tables = inputs(*grids, lengths, 1)
    fitting = [
        interpolation(len(x), n, "linear") @ x for x, n in zip(tables, (3, 7, 7), strict=True)
    ]
    one, other = (
        with_relative_positions(jnp.asarray(q), jnp.asarray(k), x, grids, 1, SCALE)[0]
        for x in (tables, fitting)
    )
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert resized(jnp.asarray(tables[0]), 5).shape == (5, D)


def test_rows_are_cut_float32_numbers():
    """10 keys for 39 places: 1 - 35.1 + 35.1 is less than 1 in float32."""
    found = rows(39, 10)
    exact = np.arange(39)[:, None] - 3.9 * np.arange(10) + 35.1
    assert np.abs(found - exact).max() < 1.001
    at, to = np.arange(39, dtype=np.float32)[:, None], np.arange(10, dtype=np.float32)
    single = at - to * np.float32(3.9) + np.float32(3.9 * 9)
    np.testing.assert_array_equal(found, np.trunc(single))
    assert (found != np.floor(exact + 1e-9)).any()
    np.testing.assert_array_equal(rows(3, 3), [[2, 1, 0], [3, 2, 1], [4, 3, 2]])
    np.testing.assert_array_equal(rows(4, 2), [[2, 0], [3, 1], [4, 2], [5, 3]])
    np.testing.assert_array_equal(rows(2, 4), [[3, 2, 1, 0], [5, 4, 3, 2]])
