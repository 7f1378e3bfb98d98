"""The convolution layer: sizes, options that reach the convolution, and how it starts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.layers.conv import Conv, ConvNorm
from jaxvid.ops import conv as ops
from tests.conftest import fill

X = np.random.default_rng(1).standard_normal((2, 6, 8, 7, 4)).astype(np.float32)


def filled(layer, **train):
    return fill(jax.eval_shape(lambda x: layer.init(jax.random.key(0), x, **train), X))


@pytest.mark.parametrize("kernel", [(1, 1, 1), (5, 1, 1), (3, 3, 3), (1, 7)])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_size_is_kept_unless_told_otherwise(kernel, groups):
    def shape(**options):
        layer = Conv(4, kernel, groups=groups, **options)
        return jax.eval_shape(lambda x: layer.init_with_output(jax.random.key(0), x)[0], X).shape

    many = len(kernel)
    assert shape() == X.shape
    assert shape(dilation=(2,) * many) == X.shape
    size, none = X.shape[-1 - many : -1], (0,) * many
    cut = [s - k + 1 for s, k in zip(size, kernel, strict=True)]
    assert shape(padding=none)[-1 - many : -1] == (*cut,)
    halves = [-(-s // 2) for s in size]
    assert shape(strides=(2,) * many)[-1 - many : -1] == (*halves,)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_options_reach_the_convolution(groups):
    settings = (2, 1), (1, 2), (3, 2)
    layer = Conv(4, (3, 3), *settings, groups=groups, use_bias=True)
    variables = filled(layer)
    kernel, bias = (variables["params"][name] for name in ("kernel", "bias"))
    assert kernel.shape == (3, 3, 4 // groups, 4)
    want = ops.conv(jnp.asarray(X), kernel, *settings, groups) + bias
    got = jax.jit(layer.apply)(variables, X)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("relu", [False, True])
def test_a_norm_follows_and_then_a_relu(relu):
    layer = ConvNorm(3, (1, 1, 1), relu=relu)
    variables = filled(layer, train=False)
    params, stats = variables["params"], variables["batch_stats"]["bn"]
    y = (X @ params["conv"]["kernel"][0, 0, 0] - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
    y = y * params["bn"]["scale"] + params["bn"]["bias"]
    got: Any = layer.apply(variables, X, train=False)
    np.testing.assert_allclose(got, np.maximum(y, 0) if relu else y, rtol=1e-5, atol=1e-5)
    assert params["conv"].keys() == {"kernel"}  # the norm has the bias


def test_kernels_start_as_for_relu_networks():
    """Normal, with a variance of two over what leaves: 3 x 3 to 64 channels."""
    variables: Any = Conv(64, (3, 3)).init(jax.random.key(0), jnp.ones((1, 4, 4, 32)))
    kernel = variables["params"]["kernel"]
    assert abs(float(kernel.std()) / (2 / (9 * 64)) ** 0.5 - 1) < 0.02
    assert abs(float(kernel.mean())) < 1e-3
    assert float(jnp.abs(kernel / kernel.std()).max()) > 3.5  # not truncated
