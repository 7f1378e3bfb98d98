"""BMN against its definition: sizes, order of upstream's tensors, and an independent forward."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.models import bmn
from jaxvid.ops import boundary
from jaxvid.weights.convert import convert, export
from tests.conftest import CASES, fill

# Of MMAction2's module, which counts the sampling mask: 100 x (32 x 100 x 100) constants.
PUBLISHED = {"400": CASES["ParamCount-17"]["expected"]["total"], "2048": 37_294_980}
MASK = 32_000_000
ORDER = [
    "sample_mask",
    "bm_mask",
    *(f"x_1d_{part}.{i}.{leaf}" for part in "bse" for i in (0, 2) for leaf in ("weight", "bias")),
    *(f"{part}.0.{leaf}" for part in ("x_1d_p", "x_3d_p") for leaf in ("weight", "bias")),
    *(f"x_2d_p.{i}.{leaf}" for i in (0, 2, 4, 6) for leaf in ("weight", "bias")),
]


@functools.cache
def example(**options):
    net = bmn.build("test", samples=4, **options)
    x = np.random.default_rng(0).standard_normal((2, 8, 12)).astype(np.float32)
    return net, fill(trace(net, x)), x


def trace(net, x):
    return jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), x)


def forward(net):
    return jax.jit(lambda variables, x: net.apply(variables, x, train=False))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameters_are_as_many_as_published(variant):
    net = bmn.build(variant)
    shapes = trace(net, jax.ShapeDtypeStruct((1, 100, int(variant)), jnp.float32))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == PUBLISHED[variant] - MASK
    assert list(shapes) == ["params"]  # the masks are no variables


def test_exported_tensors_are_those_of_upstream():
    net, variables, x = example()
    tensors = export(variables, bmn.WEIGHTS["mmaction"], net)
    assert list(tensors) == ORDER
    assert tensors["x_3d_p.0.weight"].shape == (16, 8, 4, 1, 1)
    assert tensors["x_1d_b.0.weight"].shape == (8, 3, 3)  # grouped
    mask = tensors["sample_mask"]
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(mask, boundary.sampling_mask(8, 4, 3, 0.5))
    np.testing.assert_array_equal(tensors["bm_mask"], boundary.valid_cells(8))
    back, _ = convert(tensors, trace(net, x), bmn.WEIGHTS["mmaction"], net=net)
    jax.tree.map(np.testing.assert_array_equal, back, variables)


def torch_forward(tensors, x, groups=4):
    """BMN in PyTorch from exported tensors, as its paper's figure draws it."""
    torch = pytest.importorskip("torch", reason="an independent forward in PyTorch")
    conv = torch.nn.functional
    weights = {name: torch.tensor(value) for name, value in tensors.items()}

    def layer(function, name, x, **options):
        return function(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **options)

    def time(name, x):
        return layer(conv.conv1d, name, x, padding=1, groups=groups).relu()

    x = torch.tensor(x).transpose(1, 2)
    base = time("x_1d_b.2", time("x_1d_b.0", x))
    start, end = (
        layer(conv.conv1d, f"{side}.2", time(f"{side}.0", base)).sigmoid()[:, 0]
        for side in ("x_1d_s", "x_1d_e")
    )
    t = x.shape[2]
    cells = layer(conv.conv1d, "x_1d_p.0", base, padding=1).relu() @ weights["sample_mask"]
    cells = cells.reshape(len(x), -1, 4, t, t)
    cells = layer(conv.conv3d, "x_3d_p.0", cells).relu().squeeze(2)
    for i, padding in ((0, 0), (2, 1), (4, 1)):
        cells = layer(conv.conv2d, f"x_2d_p.{i}", cells, padding=padding).relu()
    return layer(conv.conv2d, "x_2d_p.6", cells).sigmoid(), start, end


def test_forward_against_pytorch():
    net, variables, x = example()
    ours = forward(net)(variables, x)
    tensors = export(variables, bmn.WEIGHTS["mmaction"], net)
    for got, want in zip(ours, torch_forward(tensors, x), strict=True):
        np.testing.assert_allclose(got, want.numpy(), atol=2e-6)
    assert ours.confidence.shape == (2, 2, 8, 8)


def total(net, variables, x):
    return sum(out.sum() for out in net.apply(variables, x, train=True))


def test_remat_changes_no_gradient():
    grads = []
    for remat in (False, True):
        net, variables, x = example(remat=remat)
        grads.append(jax.jit(jax.grad(partial(total, net)))(variables, x))
    for one, two in zip(*map(jax.tree.leaves, grads), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_other_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"\(b, 8, 12\), not \(2, 9, 12\)"):
        trace(bmn.build("test"), np.zeros((2, 9, 12)))
    with pytest.raises(ValueError, match=r"\(b, 8, 12\), not \(2, 8, 13\)"):
        trace(bmn.build("test"), np.zeros((2, 8, 13)))
    assert trace(bmn.build("test", channels=0), np.zeros((2, 8, 20)))


def test_initial_values_lie_within_pytorchs_bounds():
    net, _, x = example()
    params = jax.jit(lambda: net.init(jax.random.key(0), x, train=False))()["params"]
    kernel, bias = (params["start"]["conv1"][k] for k in ("kernel", "bias"))
    bound = (3 * 2) ** -0.5  # of two channels in a group and three bins
    for values in (kernel, bias):
        assert 0.5 * bound < np.abs(values).max() <= bound
    bound = (4 * 8) ** -0.5
    assert 0.8 * bound < np.abs(params["segments"]["sample"]["kernel"]).max() <= bound
    assert np.abs(params["segments"]["map3"]["bias"]).max() <= (9 * 4) ** -0.5
