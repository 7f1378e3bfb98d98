"""RGBPose-Conv3D: the size, which frames meet, what lateral connections can be without."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.layers.norm import BatchNorm
from jaxvid.models import rgbposeconv3d
from tests.conftest import fill

RNG = np.random.default_rng(0)


def test_parameters_are_the_published_ones():
    net = plug.load("models", dict(name="rgbposeconv3d", variant="r50"), num_classes=60)
    inputs = rgbposeconv3d.example("r50")
    made = jax.eval_shape(lambda x: net.init(jax.random.key(0), **x, train=False), inputs)
    assert sum(leaf.size for leaf in jax.tree.leaves(made["params"])) == 36_147_928


def test_spreading_is_the_transpose_of_a_convolution():
    """Frame t of the input adds to frames 2 t - 1 to 2 t + 1 by its kernel of three frames."""
    net = rgbposeconv3d.SpreadOverTime(1, 3, 2, BatchNorm, jnp.float32)
    x = jnp.array([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1, 1)
    variables = net.init(jax.random.key(0), x, train=False)
    kernel = jnp.array([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1, 1)
    variables = variables | {"params": variables["params"] | {"kernel": kernel}}
    out = net.apply(variables, x, train=False)
    expected = [2.0, 3 + 10, 20, 30 + 100, 200, 300]
    np.testing.assert_allclose(out.ravel(), expected, rtol=1e-4)


@pytest.mark.parametrize("detached", [False, True])
def test_gradients_between_pathways_can_be_stopped(detached):
    options = dict(rgb_detach=detached, pose_detach=detached)
    net = rgbposeconv3d.backbone("test", **options)
    shapes = rgbposeconv3d.example("test")
    inputs = {key: jnp.array(RNG.standard_normal(x.shape), x.dtype) for key, x in shapes.items()}
    start = functools.partial(net.init, jax.random.key(0), train=False)
    variables = fill(jax.eval_shape(lambda x: start(**x), inputs))

    def of_rgb(heatmap):
        return net.apply(variables, inputs["video"], heatmap, train=False)[0].sum()

    gradient = jax.jit(jax.grad(of_rgb))(inputs["heatmap"])
    assert bool(jnp.any(gradient != 0)) != detached
