"""VideoPrism LvT: what the class token of a text sees, and the positions of the tokens."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.models import videoprismlvt
from jaxvid.models.videoprismlvt import TextTower
from tests.conftest import fill

TOWER = TextTower(width=8, heads=2, depth=1, vocabulary=32, length=6)


def test_a_text_is_what_its_tokens_are_without_padding():
    short, long = np.array([[5, 7, 9]]), np.array([[5, 7, 9, 0, 0]])
    shapes = jax.eval_shape(lambda x: TOWER.init(jax.random.key(0), x), short)
    variables = fill(shapes)
    apply = jax.jit(TOWER.apply, static_argnums=2)
    found = apply(variables, short, True)
    np.testing.assert_allclose(apply(variables, long, True), found, atol=1e-5)
    assert not np.allclose(apply(variables, long, False), found, atol=1e-3)
    assert not np.allclose(apply(variables, short[:, ::-1], True), found, atol=1e-3)
    several = np.stack([short, short[:, ::-1]], 1)  # two texts of a sample
    np.testing.assert_allclose(apply(variables, several, True)[:, 0], found, atol=1e-5)
    with pytest.raises(UserError, match="at most 6 tokens, not 7"):
        TOWER.apply(variables, jnp.ones((1, 7), jnp.int32))


@pytest.mark.parametrize("endpoint,last", [(True, 1e-4), (False, 1e-3)])
def test_positions_are_sines_then_cosines(endpoint, last):
    waves = TOWER.clone(endpoint=endpoint).positions()
    rates = np.geomspace(1, last, 4)
    angles = np.arange(6)[:, None] * rates
    np.testing.assert_allclose(waves, np.hstack([np.sin(angles), np.cos(angles)]), atol=1e-6)


def test_towers_are_of_the_width_of_the_encoder():
    net = videoprismlvt.build("large")
    assert (net.text.width, net.text.heads, net.video.heads) == (1024, 16, 16)
    small = videoprismlvt.build("base", text=videoprismlvt.Text(depth=4))
    assert (small.text.depth, small.text.vocabulary) == (4, 32000)
