"""ST-GCN++: its two units against loops. What it shares with ST-GCN is tested there."""

import jax
import numpy as np
import pytest

from jaxvid.models import stgcnpp
from jaxvid.ops import graph
from tests.models.test_stgcn import (
    CONV,
    NORM,
    convolve,
    draw,
    evaluate,
    exported,
    names,
    normalize,
    variables_of,
)


def relu(x):
    return np.maximum(x, 0)


@pytest.mark.parametrize("channels", [4, 3])
def test_graph_convolution(channels):
    """Its shortcut maps the channels where they change."""
    layer, x = stgcnpp.GraphConv(4, "coco"), draw(2, 3, 17, channels)
    variables = variables_of(layer, x)
    params, stats = variables["params"], variables["batch_stats"]
    assert ("down" in params) == (channels != 4)
    y = convolve(x, params["A"], params["conv"]["kernel"], params["conv"]["bias"])
    shortcut = x
    if channels != 4:
        shortcut = x @ params["down"]["kernel"][0, 0] + params["down"]["bias"]
        shortcut = normalize(shortcut, params["down_bn"], stats["down_bn"])
    want = relu(normalize(y, params["bn"], stats["bn"]) + shortcut)
    np.testing.assert_allclose(evaluate(layer, variables, x), want, rtol=1e-4, atol=1e-5)


def test_the_graph_starts_as_the_skeleton():
    start = stgcnpp.GraphConv(4, "nturgb+d").init(jax.random.key(0), draw(1, 2, 25, 3), train=False)
    np.testing.assert_array_equal(start["params"]["A"], graph.spatial("nturgb+d"))


@pytest.mark.parametrize("stride,frames", [(1, 8), (2, 8), (2, 7)])
def test_multi_scale_convolution(stride, frames):
    """Twenty channels: five for the first branch, three for each of the others."""
    layer, x = stgcnpp.MultiScaleConv(20, stride, 0.0), draw(2, frames, 3, 4)
    variables = variables_of(layer, x)
    params, stats = variables["params"], variables["batch_stats"]
    count = -(-frames // stride)
    parts = []
    for i in range(5):
        branch = params[f"branch{i}"]
        y = x @ branch["reduce"]["kernel"][0, 0] + branch["reduce"]["bias"]
        y = relu(normalize(y, branch["bn"], stats[f"branch{i}"]["bn"]))
        apart = i + 1 if i < 4 else 1
        near = [[t * stride + d * apart for d in (-1, 0, 1)] for t in range(count)]
        inside = [[(d, t) for d, t in enumerate(ts) if 0 <= t < frames] for ts in near]
        if i < 4:
            kernel, bias = branch["conv"]["kernel"], branch["conv"]["bias"]
            y = [sum(y[:, t] @ kernel[d, 0] for d, t in ts) + bias for ts in inside]
        else:
            y = [np.max([y[:, t] for _, t in ts], axis=0) for ts in inside]
        parts.append(np.stack(y, axis=1))
    last = params["branch5"]
    parts.append(x[:, ::stride] @ last["kernel"][0, 0] + last["bias"])
    assert [part.shape[-1] for part in parts] == [5, 3, 3, 3, 3, 3]
    y = np.concatenate(parts, -1)
    y = relu(normalize(y, params["transform_bn"], stats["transform_bn"]))
    y = y @ params["transform"]["kernel"][0, 0] + params["transform"]["bias"]
    want = normalize(y, params["bn"], stats["bn"])
    got = evaluate(layer, variables, x)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_upstreams_names():
    found, _ = exported(stgcnpp, block=2)  # wider than the one before it, not strided
    branches = [
        (f"tcn.branches.{n}.{module}", leaves)
        for n in range(5)
        for module, leaves in (("0", CONV), ("1", NORM), ("3.conv", CONV))
        if (n, module) != (4, "3.conv")
    ]
    modules = (
        *(("gcn", ("A",)), ("gcn.bn", NORM), ("gcn.conv", CONV)),
        *(("gcn.down.0", CONV), ("gcn.down.1", NORM)),
        *(*branches, ("tcn.branches.5", CONV)),
        *(("tcn.transform.0", NORM), ("tcn.transform.2", CONV), ("tcn.bn", NORM)),
        *(("residual.conv", CONV), ("residual.bn", NORM), ("cls_head.fc", CONV)),
    )
    assert found == names(*modules)
