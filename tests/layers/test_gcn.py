"""What all networks on skeletons share, with units in blocks that do next to nothing."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.layers import gcn
from jaxvid.layers.tcn import TemporalConv
from tests.conftest import fill

B, M, T, J, C = 2, 2, 7, 17, 3


class Keep(nn.Module):
    """A unit over neighbors that keeps what it gets."""

    features: int
    layout: str
    norm: object
    dtype: object

    def __call__(self, x, *, train):
        return x


class Pick(nn.Module):
    """A unit over time: the first channel of every `stride`-th frame, minus one."""

    features: int
    stride: int
    dropout: float
    norm: object
    dtype: object

    def __call__(self, x, *, train):
        return jnp.repeat(x[:, :: self.stride, :, :1], self.features, -1) - 1


class Same(Pick):
    """A unit over time that keeps what it gets."""

    def __call__(self, x, *, train):
        return x


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def variables_of(model, x, seed=0):
    """Filled variables; variances are positive."""
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    filled = fill(shapes, seed)

    def positive(path, leaf):
        return 0.5 + np.abs(leaf) if path[-1].key == "var" else leaf

    return jax.tree_util.tree_map_with_path(positive, filled)


def net(**options):
    return gcn.SkeletonNet(Keep, Pick, **{"layout": "coco", **options})


def evaluate(model, variables, x):
    return np.asarray(jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, x))


def relu(x):
    return np.maximum(x, 0)


def test_each_joint_takes_from_its_neighbors():
    k, j, c = 3, 4, 2
    x, adjacency = draw(2, 3, j, k * c), draw(k, j, j, seed=1)
    want = np.zeros((2, 3, j, c))
    for b, t, w, i in itertools.product(range(2), range(3), range(j), range(c)):
        want[b, t, w, i] = sum(
            x[b, t, v, s * c + i] * adjacency[s, v, w] for s in range(k) for v in range(j)
        )
    got = gcn.aggregate(jnp.asarray(x), jnp.asarray(adjacency))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_pointwise_is_linear_in_every_strided_frame():
    layer, x = gcn.pointwise(C, 5, 2), draw(B, T, J, C)
    variables = fill(jax.eval_shape(lambda x: layer.init(jax.random.key(0), x), x))
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    want = x[:, ::2] @ kernel[0, 0] + bias
    np.testing.assert_allclose(np.asarray(layer.apply(variables, x)), want, rtol=1e-5, atol=1e-6)


def test_pointwise_starts_as_in_pytorch():
    """Uniform within one over the root of the number of inputs: weights and biases."""
    start = gcn.pointwise(16, 400).init(jax.random.key(0), jnp.zeros((1, 1, 1, 16)))
    for leaf in map(np.asarray, jax.tree.leaves(start)):
        assert np.abs(leaf).max() <= 1 / 4
        np.testing.assert_allclose(np.std(leaf), 1 / 4 / 3**0.5, rtol=0.1)


def test_temporal_conv_and_its_start():
    layer, x = TemporalConv(4, 2, kernel=3), draw(B, T, J, C)
    variables = variables_of(layer, x)
    params, stats = variables["params"], variables["batch_stats"]["bn"]
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    want = np.stack(
        [
            sum(padded[:, 2 * t + i] @ params["conv"]["kernel"][i, 0] for i in range(3))
            for t in range(4)
        ],
        axis=1,
    )
    want = want + params["conv"]["bias"] - stats["mean"]
    want = want / np.sqrt(stats["var"] + 1e-5) * params["bn"]["scale"] + params["bn"]["bias"]
    got = evaluate(layer, variables, x)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    # He et al., 2015, by fan-out, for the default kernel of nine frames; biases from 0.
    start = TemporalConv(64).init(jax.random.key(0), x, train=False)["params"]
    bias, kernel = map(np.asarray, jax.tree.leaves(start["conv"]))
    assert kernel.shape == (9, 1, C, 64)
    np.testing.assert_allclose(np.std(kernel), (2 / 9 / 64) ** 0.5, rtol=0.1)
    assert not bias.any()


@pytest.mark.parametrize("by_person", [False, True])
def test_the_input_is_normalized_by_joint_and_channel(by_person):
    model = gcn.SkeletonNet(Keep, Same, "coco", (C,), (1,), bn_by_person=by_person)
    x = draw(B, M, T, J, C)
    variables = variables_of(model, x)
    shape = (M, 1, J, C) if by_person else (J, C)
    params, stats = variables["params"]["data_bn"], variables["batch_stats"]["data_bn"]
    scale, bias, mean, var = (
        a.reshape(shape) for a in (params["scale"], params["bias"], stats["mean"], stats["var"])
    )
    got = evaluate(model, variables, x)
    want = (x - mean) / np.sqrt(var + 1e-5) * scale + bias
    np.testing.assert_allclose(got, relu(want), rtol=1e-4, atol=1e-5)
    # In training, by what the batch has itself.
    got = np.asarray(model.apply(variables, x, train=True, mutable=["batch_stats"])[0])
    axes = (0, 2) if by_person else (0, 1, 2)
    own = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(got, relu(own * scale + bias), rtol=1e-3, atol=1e-4)


def test_all_blocks_but_the_first_have_a_shortcut():
    model = net(widths=(4, 4, 5, 5), strides=(1, 1, 1, 2))
    x = draw(B, M, T, J, C)
    variables = variables_of(model, x)
    # The first has none although the channels differ, the second needs no projection.
    assert variables["params"].keys() == {"data_bn", "block2", "block3"}
    first = gcn.SkeletonNet(Keep, Pick, "coco", (4,), (1,))
    data_bn = {k: {"data_bn": v["data_bn"]} for k, v in variables.items()}
    y = evaluate(first, data_bn, x).reshape(B * M, T, J, 4)
    assert len(np.unique(y)) > 100
    y = relu(y + y[..., :1] - 1)
    for block, stride in (("block2", 1), ("block3", 2)):
        project = TemporalConv(5, stride, kernel=1)
        weights = {k: variables[k][block]["residual"] for k in variables}
        y = relu(y[:, ::stride, :, :1] - 1 + evaluate(project, weights, y))
    got = evaluate(model, variables, x)
    np.testing.assert_allclose(got.reshape(y.shape), y, rtol=1e-4, atol=1e-5)
    assert got.shape == (B, M, 4, J, 5)


def test_another_number_of_joints_is_an_error():
    with pytest.raises(ValueError, match='17 joints, layout "handmp" has 21'):
        variables_of(net(layout="handmp"), draw(B, M, T, J, C))
