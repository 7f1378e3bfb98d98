"""Non-local layers against loops over pairs of positions, and in residual networks."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.layers.non_local import MODES, NonLocal, NonLocalResNet, subsample
from jaxvid.layers.resnet import ResNet
from tests.conftest import fill

SHAPE = (2, 2, 4, 5, 6)  # an odd width: the last column is in no pool


def example(**options):
    """Layer, filled variables and input."""
    layer = NonLocal(**options)
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    shapes = jax.eval_shape(lambda x: layer.init(jax.random.key(0), x, train=False), x)
    return layer, fill(shapes), x


def pooled(x):
    """Maximum of every 2 x 2 pixels, by loops; (b, t, h, w, c) -> (b, t, h // 2, w // 2, c)."""
    b, t, h, w, c = x.shape
    out = np.zeros((b, t, h // 2, w // 2, c), x.dtype)
    for i, j in itertools.product(range(h // 2), range(w // 2)):
        out[:, :, i, j] = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((2, 3))
    return out


def naive(variables, x, mode, scale):
    params, stats = variables["params"], variables["batch_stats"]
    width = x.shape[-1] // 2

    def project(name, x):
        return x @ params[name]["kernel"][0, 0, 0] + params[name]["bias"]

    g = pooled(project("g", x))
    theta = x if mode == "gaussian" else project("theta", x)
    phi = pooled(x if mode == "gaussian" else project("phi", x))
    y = np.zeros((*x.shape[:-1], width))
    keys = list(itertools.product(*map(range, g.shape[1:4])))
    for b, *query in itertools.product(*map(range, x.shape[:-1])):
        pairs = np.array([theta[b, *query] @ phi[b, *key] for key in keys])
        if mode == "dot_product":
            weights = pairs / len(keys)
        else:
            if mode == "embedded_gaussian" and scale:
                pairs = pairs / math.sqrt(width)
            weights = np.exp(pairs - pairs.max())
            weights /= weights.sum()
        for weight, key in zip(weights, keys, strict=True):
            y[b, *query] += weight * g[b, *key]
    norm, kept = params["conv_out"]["bn"], stats["conv_out"]["bn"]
    y = y @ params["conv_out"]["conv"]["kernel"][0, 0, 0]
    y = (y - kept["mean"]) / np.sqrt(kept["var"] + 1e-5) * norm["scale"] + norm["bias"]
    return x + y


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_every_position_gathers_from_all(mode, scale):
    """Only "embedded_gaussian" knows a scale; "gaussian" has no projections to compare."""
    layer, variables, x = example(mode=mode, scale=scale)
    assert variables["params"].keys() == {"g", "conv_out"} | (
        set() if mode == "gaussian" else {"theta", "phi"}
    )
    got = jax.jit(lambda v, x: layer.apply(v, x, train=False))(variables, x)
    np.testing.assert_allclose(got, naive(variables, x, mode, scale), rtol=1e-4, atol=1e-4)


def test_a_new_block_changes_nothing():
    layer, variables, x = example()
    init = jax.jit(lambda x: layer.init(jax.random.key(0), x, train=False)["params"]["conv_out"])
    variables["params"]["conv_out"]["bn"] = init(x)["bn"]
    for train in (False, True):
        got, _ = layer.apply(variables, x, train=train, mutable=["batch_stats"])
        np.testing.assert_array_equal(got, x)


def test_subsample_is_the_maximum_of_squares():
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    np.testing.assert_array_equal(subsample(x), pooled(x))


def test_bfloat16_stays():
    layer, variables, x = example(dtype=jnp.bfloat16)
    out = jax.eval_shape(
        lambda v, x: layer.apply(v, x, train=False), variables, jnp.asarray(x, jnp.bfloat16)
    )
    assert (out.shape, out.dtype) == (SHAPE, jnp.bfloat16)


def test_an_unknown_mode_is_an_error():
    with pytest.raises(ValueError, match=r'one of .*dot_product.*, not "gauss"'):
        example(mode="gauss")


# In residual networks

VIDEO = np.random.default_rng(1).standard_normal((2, 4, 16, 24, 3)).astype(np.float32)


def network(**options):
    """Network and filled variables."""
    net = NonLocalResNet(**options)
    return net, fill(jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), VIDEO))


def run(net, variables):
    return jax.jit(lambda v, x: net.apply(v, x, train=False))(variables, VIDEO)


def test_layers_stand_where_published():
    _, variables = network(depths=(3, 4, 6, 3), width=2, non_local="gaussian")
    found = {name for name, block in variables["params"].items() if "non_local" in block}
    assert found == {"layer2_0", "layer2_2", "layer3_0", "layer3_2", "layer3_4"}


@pytest.mark.parametrize("mode,scale", [("embedded_gaussian", True), ("dot_product", False)])
def test_a_layer_follows_its_block(mode, scale):
    options = dict(non_local=mode, non_local_scale=scale, non_local_blocks=((0,),))
    net, variables = network(depths=(1,), width=4, **options)
    plain, layer = ResNet(depths=(1,), width=4), NonLocal(mode, scale)
    own = {k: v["layer1_0"]["non_local"] for k, v in variables.items()}

    @jax.jit
    def parts(x):
        return layer.apply(own, plain.apply(variables, x, train=False), train=False)

    np.testing.assert_allclose(run(net, variables), parts(VIDEO), rtol=1e-5, atol=1e-5)


WITH_ALL = dict(depths=(1, 1), width=4, non_local="gaussian", non_local_blocks=((0,), ()))


def train(net, variables):
    """video -> output and running statistics of a step."""
    return jax.jit(lambda x: net.apply(variables, x, train=True, mutable=["batch_stats"]))


@pytest.mark.parametrize("groups", [1, 2])
def test_groups_reach_every_norm(groups):
    """In groups of one clip, clips do not change each other."""
    forward = train(*network(**WITH_ALL, bn_groups=groups))
    (a, _), (b, _) = forward(VIDEO), forward(np.stack([VIDEO[0], VIDEO[1] ** 2]))
    assert (np.abs(a - b)[0].max() > 1e-3) == (groups == 1)
    assert np.abs(a - b)[1].max() > 1e-3


def test_frozen_norms_train_as_they_evaluate():
    net, variables = network(**WITH_ALL, bn_frozen=True)
    y, new = train(net, variables)(VIDEO)
    np.testing.assert_allclose(y, run(net, variables), rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, new["batch_stats"], variables["batch_stats"])
