"""C2D: frames meet in pairs, and without the pooling it is TSN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.models import c2d
from tests.models.test_resnets import build, draw, example


@pytest.mark.parametrize("pool,size,grid", [(True, 224, 7), (False, 224, 7), (True, 64, 2)])
def test_the_pooling_halves_frames_and_pads_nothing(pool, size, grid):
    """The stem gives 55 x 55 positions for 224 pixels, not 56."""
    net = c2d.backbone("test", depths=(1, 1, 1, 1), pool=pool)
    video = jax.ShapeDtypeStruct((1, 5, size, size, 3), jnp.float32)

    def both(x):
        (_, variables) = net.init_with_output(jax.random.key(0), x, train=False)
        return net.apply(variables, x, False, method="first"), net.apply(variables, x, train=False)

    stem, out = jax.eval_shape(both, video)
    assert stem.shape == (1, 5, *[size // 4 - pool] * 2, 4)
    assert out.shape == (1, 2 if pool else 5, grid, grid, 128)


@pytest.mark.long
def test_frames_meet_in_pairs():
    this = example("c2d")
    own = {k: v["backbone"] for k, v in this.variables.items()}
    features = jax.jit(lambda x: this.net.backbone.apply(own, x, train=False))
    other = this.video.copy()
    other[:, 1] = draw(*other[:, 1].shape, seed=5)
    gap = np.abs(features(other) - features(this.video)).max((0, 2, 3, 4))
    assert (gap > 1e-3).tolist() == [True, False]


@pytest.mark.long
def test_without_the_pooling_it_is_tsn():
    frames = example("tsn")
    this = build("c2d", pool=False)
    got = jax.jit(lambda x: this.apply(frames.variables, x, train=False))(frames.video)
    want = frames.forward(frames.variables, frames.video)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
