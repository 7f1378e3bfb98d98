"""2s-AGCN: its graph convolution against loops, its start, and the names of its tensors."""

import jax
import numpy as np
import pytest

from jaxvid.models import agcn2s
from jaxvid.ops import graph
from jaxvid.weights.convert import export
from tests.conftest import CASES, fill
from tests.models.test_stgcn import CONV, NORM, count, draw, evaluate, names, normalize

J = 17


def shapes_of(model, x):
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)


def affine(x, params):
    return x @ params["kernel"][0, 0] + params["bias"]


@pytest.mark.long
@pytest.mark.parametrize("channels", [8, 3])
def test_graph_convolution(channels):
    """Joint v counts for w as learned, and as far as its features are like those of w."""
    layer, x = agcn2s.GraphConv(8, "coco"), draw(2, 3, J, channels)
    variables = jax.tree.map(lambda a: 0.3 + np.abs(a), fill(shapes_of(layer, x)))
    params, stats = variables["params"], variables["batch_stats"]
    y = 0
    for k in range(3):
        a, b = (affine(x, params[f"conv_{s}{k}"]) for s in "ab")
        similarity = np.empty((2, J, J))
        for n, v, w in np.ndindex(2, J, J):
            similarity[n, v, w] = np.tanh((a[n, :, v] * b[n, :, w]).mean())
        adjacency = params["A"][k] + params["alpha"] * similarity
        mixed = np.stack([adjacency[n].T @ x[n] for n in range(2)])
        y = y + affine(mixed, params[f"conv_d{k}"])
    y = normalize(y, params["bn"], stats["bn"])
    if channels == 3:
        x_down = normalize(affine(x, params["down"]), params["down_bn"], stats["down_bn"])
    else:
        x_down = x
    got = evaluate(layer, variables, x)
    np.testing.assert_allclose(got, np.maximum(y + x_down, 0), rtol=1e-4, atol=1e-4)


@pytest.mark.long
def test_it_starts_as_the_skeleton_and_nearly_without_its_branch():
    layer, x = agcn2s.GraphConv(64, "coco"), draw(1, 2, J, 32)
    params = layer.init(jax.random.key(0), x, train=False)["params"]
    np.testing.assert_array_equal(params["A"], graph.spatial("coco"))
    assert not params["alpha"].any()
    np.testing.assert_allclose(params["bn"]["scale"], 1e-6)
    np.testing.assert_allclose(params["down_bn"]["scale"], 1)
    for name, variance in (("conv_d1", 2 / 64 / 32 / 3), ("conv_a1", 2 / 16), ("down", 2 / 64)):
        np.testing.assert_allclose(np.var(params[name]["kernel"]), variance, rtol=0.2)
        assert not params[name]["bias"].any()


@pytest.mark.parametrize("variant,joints", [("2d", 17), ("3d", 25)])
def test_parameters_are_as_many_as_published(variant, joints):
    model = agcn2s.build(variant, num_classes=60)
    shapes = shapes_of(model, jax.ShapeDtypeStruct((1, 2, 8, joints, 3), np.float32))
    # For the head: 60 classes of 256 features. For a joint: 3 coordinates of 2 people to normalize,
    # and the edges of all joints in 3 subsets of 10 blocks.
    of_joints = 2 * 3 * 2 * (joints - 17) + 30 * (joints**2 - 17**2)
    want = CASES["ParamCount-13"]["expected"]
    assert count(shapes["params"]["head"]) == want["head"]
    assert count(shapes["params"]) == want["total"] + of_joints


def test_upstreams_names():
    model = agcn2s.build("test", num_classes=5)
    x = jax.ShapeDtypeStruct((1, 2, 8, J, 3), np.float32)
    found = export(fill(shapes_of(model, x)), agcn2s.WEIGHTS["mmaction"], model)
    mine = [n.removeprefix("backbone.gcn.2.") for n in found if n.startswith("backbone.gcn.2.")]
    convs = [(f"gcn.conv_{s}.{k}", CONV) for s in "dab" for k in range(3)]
    assert mine == names(
        *(("gcn", ("A", "alpha")), *convs, ("gcn.down.0", CONV), ("gcn.down.1", NORM)),
        *(("gcn.bn", NORM), ("tcn.conv", CONV), ("tcn.bn", NORM)),
        *(("residual.conv", CONV), ("residual.bn", NORM)),
    )
    np.testing.assert_array_equal(found["backbone.A"], graph.spatial("coco"))
