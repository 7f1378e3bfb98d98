"""CTR-GCN: its two units against loops, their start, and its published size."""

import jax
import numpy as np
import pytest

from jaxvid.layers.tcn import MultiScaleConv
from jaxvid.models import ctrgcn
from jaxvid.ops import graph
from tests.conftest import CASES
from tests.models.test_stgcn import count, draw, evaluate, normalize, variables_of

J = 17


def linear(x, params, k=0, width=None):
    """The k-th of several maps side by side."""
    mine = slice(k * width, (k + 1) * width) if width else slice(None)
    return x @ params["kernel"][0, 0][:, mine] + params["bias"][mine]


@pytest.mark.long
@pytest.mark.parametrize("channels", [8, 3])
def test_graph_convolution(channels):
    """For each channel, joint v counts for w as learned, and by the difference of their means."""
    layer, x = ctrgcn.GraphConv(8, "coco"), draw(2, 3, J, channels)
    variables = variables_of(layer, x)
    params, stats = variables["params"], variables["batch_stats"]
    mean, y = x.mean(1), 0
    for k in range(3):
        a, b = (linear(mean, params[f"conv{i}"], k, 8) for i in (1, 2))
        mapped = linear(x, params["conv3"], k, 8)
        for v, w in np.ndindex(J, J):
            refined = linear(np.tanh(a[:, v] - b[:, w]), params["conv4"], k, 8)
            weight = params["A"][k, v, w] + params["alpha"] * refined
            y = y + np.eye(J)[w][:, None] * (weight[:, None] * mapped[:, :, v])[:, :, None]
    y = normalize(y, params["bn"], stats["bn"])
    if channels == 3:
        x = normalize(linear(x, params["down"]), params["down_bn"], stats["down_bn"])
    got = evaluate(layer, variables, draw(2, 3, J, channels))
    np.testing.assert_allclose(got, np.maximum(y + x, 0), rtol=1e-4, atol=1e-4)


@pytest.mark.long
def test_it_starts_as_the_skeleton_and_nearly_without_its_branch():
    layer, x = ctrgcn.GraphConv(64, "coco"), draw(1, 2, J, 128)
    params = layer.init(jax.random.key(0), x, train=False)["params"]
    np.testing.assert_array_equal(params["A"], graph.spatial("coco"))
    assert not params["alpha"].any()
    np.testing.assert_allclose(params["bn"]["scale"], 1e-6)
    for name, outputs in (("conv1", 16), ("conv3", 64), ("conv4", 64), ("down", 64)):
        np.testing.assert_allclose(np.var(params[name]["kernel"]), 2 / outputs, rtol=0.2)
        assert not params[name]["bias"].any()


@pytest.mark.long
@pytest.mark.parametrize("stride,frames", [(1, 8), (2, 7)])
def test_temporal_convolution(stride, frames):
    """Eighteen channels: four for each branch, and six for the last one."""
    layer, x = ctrgcn.TemporalConv(18, stride), draw(2, frames, 3, 4)
    variables = variables_of(layer, x)
    params, stats = variables["params"], variables["batch_stats"]
    parts, times = [], range(0, frames, stride)
    for i in range(4):
        branch, moments = params[f"branch{i}"], stats[f"branch{i}"]
        y = normalize(linear(x, branch["reduce"]), branch["bn"], moments["bn"])
        if i == 3:
            parts.append(y[:, ::stride])
            continue
        y, reach = np.maximum(y, 0), 2 * (i + 1)
        if i == 2:
            y = [y[:, max(t - 1, 0) : t + 2].max(1) for t in times]
        else:
            taps = [
                zip(range(t - reach, t + reach + 1, i + 1), range(5), strict=True) for t in times
            ]
            kernel = branch["conv"]["kernel"][:, 0]
            y = [sum(y[:, s] @ kernel[d] for s, d in tap if 0 <= s < frames) for tap in taps]
            y = [part + branch["conv"]["bias"] for part in y]
        parts.append(normalize(np.stack(y, 1), branch["last_bn"], moments["last_bn"]))
    assert [part.shape[-1] for part in parts] == [4, 4, 4, 6]
    want = np.maximum(np.concatenate(parts, -1), 0)
    np.testing.assert_allclose(evaluate(layer, variables, x), want, rtol=1e-4, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("channels,stride", [(6, 1), (6, 2), (4, 1)])
def test_the_shortcut_maps_what_changes(channels, stride):
    x = draw(2, 6, 3, channels)
    plain = MultiScaleConv(6, stride, apart=(1,), relu=False)
    layer = MultiScaleConv(6, stride, apart=(1,), relu=False, residual=True)
    variables = variables_of(layer, x)
    shortcut = x
    if (channels, stride) != (6, 1):
        params, stats = ({**variables[c]}.pop("residual") for c in ("params", "batch_stats"))
        y = x[:, ::stride] @ params["conv"]["kernel"][0, 0] + params["conv"]["bias"]
        shortcut = normalize(y, params["bn"], stats["bn"])
    want = evaluate(plain, variables, x) + shortcut
    np.testing.assert_allclose(evaluate(layer, variables, x), want, rtol=1e-4, atol=1e-5)


def test_parameters_are_as_many_as_published():
    model = ctrgcn.build("2d", num_classes=60)
    x = jax.ShapeDtypeStruct((1, 2, 8, J, 3), np.float32)
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    want = CASES["ParamCount-14"]["expected"]
    assert count(shapes["params"]["head"]) == want["head"]
    assert count(shapes["params"]) == want["total"]
