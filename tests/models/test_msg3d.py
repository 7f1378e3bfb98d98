"""MS-G3D: its units against loops, and its published size."""

import jax
import numpy as np
import pytest

from jaxvid.models import msg3d
from jaxvid.ops import graph
from tests.conftest import CASES
from tests.models.test_stgcn import count, draw, evaluate, normalize, variables_of

J = 17


def graph_convolution(x, params, stats, hops):
    """For numpy: the joints (or those of a window) by distance, mapped together."""
    sums = [np.einsum("vw,btvc->btwc", a, x) for a in hops + params["PA"]]
    y = np.concatenate(sums, -1) @ params["linear"]["kernel"][0, 0] + params["linear"]["bias"]
    return np.maximum(normalize(y, params["bn"], stats["bn"]), 0)


@pytest.mark.long
def test_graph_convolution():
    layer, x = msg3d.GraphConv(5, "coco", scales=4), draw(2, 3, J, 4)
    variables = variables_of(layer, x)
    want = graph_convolution(
        x, *(variables[c] for c in ("params", "batch_stats")), graph.k_hop("coco", 4)
    )
    np.testing.assert_allclose(evaluate(layer, variables, x), want, rtol=1e-4, atol=1e-4)


@pytest.mark.long
def test_the_learned_graph_starts_near_zero():
    layer = msg3d.GraphConv(5, "coco", scales=4)
    params = layer.init(jax.random.key(0), draw(1, 2, J, 4), train=False)["params"]
    assert -1e-6 <= params["PA"].min() < -9e-7 < 9e-7 < params["PA"].max() <= 1e-6


@pytest.mark.long
@pytest.mark.parametrize("window,stride,frames", [(3, 1, 4), (5, 2, 6), (3, 2, 5)])
def test_window_convolution(window, stride, frames):
    """Frames before the first and after the last are zeros."""

    def spatial(**options):
        return msg3d.GraphConv(4, "coco", scales=3, window=window, **options)

    layer, x = msg3d.WindowConv(spatial, 6, window, stride), draw(2, frames, J, 4)
    variables = variables_of(layer, x)
    params, stats = variables["params"], variables["batch_stats"]
    none = np.zeros_like(x[:, 0])
    windows = [
        np.concatenate([x[:, s] if 0 <= s < frames else none for s in near], 1)
        for t in range(0, frames, stride)
        for near in [range(t - window // 2, t + window // 2 + 1)]
    ]
    hops = graph.k_hop("coco", 3, window)
    y = graph_convolution(np.stack(windows, 1), params["gcn"], stats["gcn"], hops)
    kernel = params["conv"]["kernel"][0, :, 0]
    joints = [y[:, :, n * J : (n + 1) * J] @ kernel[n] for n in range(window)]
    want = normalize(sum(joints) + params["conv"]["bias"], params["last_bn"], stats["last_bn"])
    np.testing.assert_allclose(evaluate(layer, variables, x), want, rtol=1e-4, atol=1e-4)


def test_parameters_are_as_many_as_published():
    model = msg3d.build("2d", num_classes=60)
    x = jax.ShapeDtypeStruct((1, 2, 8, J, 3), np.float32)
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    want = CASES["ParamCount-15"]["expected"]
    assert count(shapes["params"]["head"]) == want["head"]
    assert count(shapes["params"]) == want["total"]
