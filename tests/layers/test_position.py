"""Position embeddings: learned and fixed tables, and the size of clips that they are for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.layers.position import PositionTable, check_clip
from jaxvid.ops.position import sine_cosine


def test_a_learned_table_has_a_row_for_each_token():
    layer = PositionTable((2, 3, 4), 6, first=1)
    variables = layer.init(jax.random.key(0))
    table = variables["params"]["table"]
    assert table.shape == (25, 6)
    assert float(jnp.std(table)) == pytest.approx(0.02, rel=0.3)
    np.testing.assert_array_equal(layer.apply(variables), table)


def test_a_fixed_table_is_no_parameter():
    layer = PositionTable((2, 3, 4), 6, learned=False, dtype=jnp.bfloat16)
    assert layer.init(jax.random.key(0)) == {}
    got = layer.apply({})
    assert got.dtype == jnp.bfloat16
    np.testing.assert_array_equal(got, sine_cosine(24, 6).astype(jnp.bfloat16))


@pytest.mark.parametrize("shape", [(2, 4, 32, 32, 3), (1, 4, 32, 32, 3)])
def test_a_clip_of_the_right_size_is_taken(shape):
    check_clip(jnp.zeros(shape), 32, 4)
    check_clip(jnp.zeros(shape), 32)


@pytest.mark.parametrize(
    ("size", "frames", "message"),
    [
        (32, 8, "clips of 8 frames of 32 x 32 pixels, and these have 4 frames of 32 x 32"),
        (
            24,
            4,
            "clips of 4 frames of 24 x 24 pixels, .* model.frames and model.size in the config",
        ),
        (24, None, "takes frames of 24 x 24 pixels, and these have 32 x 32 pixels: model.size in"),
    ],
)
def test_a_clip_of_another_size_is_an_error_with_both(size, frames, message):
    with pytest.raises(UserError, match=message):
        check_clip(jnp.zeros((2, 4, 32, 32, 3)), size, frames)
