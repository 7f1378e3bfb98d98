"""Position embeddings: learned and fixed tables, and grids of other sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.layers.position import PositionTable
from jaxvid.ops.position import sine_cosine
from jaxvid.weights import inflate


def test_a_learned_table_has_a_row_for_each_token():
    layer = PositionTable((2, 3, 4), 6, first=1)
    variables = layer.init(jax.random.key(0), (2, 3, 4))
    table = variables["params"]["table"]
    assert table.shape == (25, 6)
    assert float(jnp.std(table)) == pytest.approx(0.02, rel=0.3)
    np.testing.assert_array_equal(layer.apply(variables, (2, 3, 4)), table)


def test_a_fixed_table_is_no_parameter():
    layer = PositionTable((2, 3, 4), 6, learned=False, dtype=jnp.bfloat16)
    assert layer.init(jax.random.key(0), (2, 3, 4)) == {}
    got = layer.apply({}, (2, 3, 4))
    assert got.dtype == jnp.bfloat16
    np.testing.assert_array_equal(got, sine_cosine(24, 6).astype(jnp.bfloat16))


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("grid", [(4, 3, 4), (2, 5, 7), (1, 2, 2)])
def test_tables_for_another_grid_are_resized_as_weights_are(learned, grid):
    """The rows for tokens outside of the grid stay; constants in space and time stay, too."""
    layer = PositionTable((2, 3, 4), 6, first=2, learned=learned)
    variables = layer.init(jax.random.key(0), grid)
    table = layer.apply(variables, (2, 3, 4))
    got = layer.apply(variables, grid)
    want = inflate.position_embedding(np.asarray(table), (2, 3, 4), grid)
    assert got.shape == (2 + np.prod(grid), 6)
    np.testing.assert_array_equal(got[:2], table[:2])
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_resized_table_can_be_trained():
    layer = PositionTable((1, 2, 2), 3)
    variables = layer.init(jax.random.key(0), (2, 5, 5))
    slope = jax.grad(lambda v: layer.apply(v, (2, 5, 5)).sum())(variables)["params"]["table"]
    np.testing.assert_allclose(
        slope.sum(), 2 * 5 * 5 * 3, rtol=1e-5
    )  # each row of weights sums to 1
    assert (slope > 0).all()
