"""Convolutions against `lax.conv_general_dilated`, in every formulation."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks.conv import ROWS
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError
from jaxvid.ops import conv as convs
from jaxvid.ops.conv import conv
from jaxvid.ops.conv_formulations import FORMULATIONS, Convolution
from jaxvid.ops.formulation import forced
from tests.conftest import gathers

MOST_TAPS = 130  # products over more taps are programs of that many operations


def geometry(what: Convolution) -> Convolution:
    """The same with few channels: their number changes no formulation's result."""
    if what.depthwise:
        return what._replace(channels=1, features=3, groups=3)
    groups = min(what.groups, 2)
    return what._replace(channels=2, features=2 * groups, groups=groups)


def space(what: Convolution, more: int = 1):
    """Lengths for a result of two elements, and one that no element of it sees."""
    seen = zip(what.size, what.strides, what.padding, what.dilation, strict=True)
    return tuple(max(1, d * (k - 1) + 1 + s * more + s - 1 - 2 * p) for k, s, p, d in seen)


# Every geometry of the published families, and what they have not.
UNUSED = [
    Convolution((2, 3, 1), 2, 4, (2, 1, 1), (2, 2, 1), (3, 2, 1)),
    Convolution((5, 3, 2), 2, 4, (2, 2, 3), (2, 1, 0), (1, 1, 1)),
    Convolution((1, 1, 1), 2, 4, (2, 2, 1), (1, 0, 0), (1, 1, 1)),
    Convolution((1, 1, 1), 2, 4, (2, 1, 2), (0, 1, 1), (1, 1, 1)),
    Convolution((5, 1, 1), 2, 4, (4, 2, 3), (2, 0, 0), (1, 1, 1)),
    Convolution((3, 3), 2, 4, (1, 2), (6, 1), (5, 1)),  # taps that see only zeros
    Convolution((1, 2, 3), 1, 3, (1, 2, 1), (0, 1, 1), (1, 1, 2), 3),
    Convolution((3, 2, 2), 1, 6, (2, 1, 1), (1, 0, 1), (1, 2, 1), 3),  # two outputs a channel
]
GEOMETRIES = sorted({geometry(row.conv) for row in ROWS} - set(UNUSED), key=str)


def name(what: Convolution) -> str:
    numbers = (what.size, what.strides, what.padding, what.dilation, (what.groups,))
    return " ".join("x".join(map(str, each)) for each in numbers)


def draw(what: Convolution, dtype=np.float64, batch: int = 2):
    """Input, kernel and gradient of the result."""
    rng = np.random.default_rng(0)
    lengths = space(what)
    shapes = (
        (batch, *lengths, what.channels * what.groups),
        (*what.size, what.channels, what.features),
        (batch, *what.lengths(lengths), what.features),
    )
    return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


def results(function, x, kernel, gradient):
    """The convolution and both gradients."""
    y, transpose = jax.vjp(function, x, kernel)
    return y, *transpose(gradient)


def largest(a, b):
    """Largest difference over the largest value."""
    a, b = (np.asarray(v, np.float64) for v in (a, b))
    assert a.shape == b.shape
    return np.abs(a - b).max() / np.abs(b).max()


def formulations(what):
    few = {"plain", "taps2d", "flat2d", "cat2d", "space_to_depth", "patches"}
    return {
        name: lambda x, kernel, f=f: f.compute(x, kernel, what)
        for name, f in FORMULATIONS.items()
        if f.accepts(what) and (name in few or what.taps <= MOST_TAPS)
    }


each_geometry = pytest.mark.parametrize(
    "what",
    [*UNUSED, *(pytest.param(what, marks=pytest.mark.long) for what in GEOMETRIES)],
    ids=name,
)


@each_geometry
def test_formulations_are_exact(what):
    """Each convolution of the published families, with as few channels as show a difference."""
    functions = formulations(what)
    with jax.enable_x64(True):
        arrays = draw(what)
        found = jax.jit(lambda *a: {name: results(f, *a) for name, f in functions.items()})(*arrays)
    assert len(found) > 1
    for name, values in found.items():
        for value, want in zip(values, found["plain"], strict=True):
            assert largest(value, want) < 1e-12, name


@pytest.mark.parametrize("groups", [1, 3])
def test_sums_of_bfloat16_are_in_float32(groups):
    """Terms and sum are rounded to bfloat16 once each; a sum in bfloat16 would lose small terms."""
    what = Convolution((5, 3, 5), 1, 3, (1, 1, 1), (0, 0, 0), (1, 1, 1), groups)
    arrays = [jnp.abs(a) for a in draw(what, jnp.bfloat16)]
    functions = formulations(what)
    found = jax.jit(lambda *a: {name: results(f, *a) for name, f in functions.items()})(*arrays)
    exact = [a.astype(jnp.float32) for a in arrays]
    wanted = jax.jit(lambda *a: results(functions["plain"], *a))(*exact)
    # A rounding changes a number by at most 2**-8 of it. The sum for the kernel is over positions;
    # the CPU's matrix products may round its parts.
    limits = 2**-7, 2**-7, 2**-6
    for name, values in found.items():
        for value, want, limit in zip(values, wanted, limits, strict=True):
            assert value.dtype == jnp.bfloat16
            error = np.abs(np.asarray(value, np.float32) - np.asarray(want))
            assert np.all(error <= limit * np.asarray(want)), name


# Axes


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("groups", [1, 2])
def test_what_precedes_the_space_is_batch(batch, groups):
    what = Convolution((3, 2), 2, 4, (1, 2), (1, 0), (1, 1), groups)
    x, kernel, _ = draw(what, np.float32, math.prod(batch))
    want = lax.conv_general_dilated(
        x,
        kernel,
        (1, 2),
        [(1, 1), (0, 0)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    got = conv(x.reshape(*batch, *x.shape[1:]), kernel, (1, 2), (1, 0), groups=groups)
    assert got.shape == (*batch, *want.shape[1:])
    assert largest(got.reshape(want.shape), want) < 1e-6


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 1, 1), (1, 3, 3), (3, 3, 3), (3, 3)])
@pytest.mark.parametrize("short", ["strides", "padding", "dilation"])
def test_one_number_an_axis(size, short):
    numbers = {name: (1,) * len(size) for name in ("strides", "padding", "dilation")}
    numbers[short] = numbers[short][1:]
    with pytest.raises(ValueError, match="give one number an axis"):
        conv(jnp.zeros((2, 4, 4, 4, 3)), jnp.zeros((*size, 3, 4)), **numbers)


@pytest.mark.parametrize("size", [(5, 1, 1), (1, 3, 3), (3, 3, 3)])
def test_a_kernel_fits_into_the_padded_input(size):
    with pytest.raises(UserError, match=r"longer than the input \(4, 2, 2\) with padding"):
        conv(jnp.zeros((2, 4, 2, 2, 3)), jnp.zeros((*size, 3, 4)), (1, 1, 1), (0, 0, 0))


@pytest.mark.parametrize("channels, features, groups", [(3, 4, 2), (2, 3, 2), (3, 4, 1)])
def test_groups_divide_the_channels(channels, features, groups):
    with pytest.raises(ValueError, match=f"4 input channels, {features} output .* {groups} groups"):
        conv(jnp.zeros((2, 5, 4)), jnp.zeros((3, channels, features)), (1,), (1,), (), groups)


# The choice


def chosen(shape, size, features, strides=(1, 1, 1), dilation=(1, 1, 1), groups=1, padding=None):
    """The formulation for an input (n, *space, c), padded by half the kernel."""
    strides, dilation = strides[: len(size)], dilation[: len(size)]
    pads = zip(size, dilation, strict=True)
    padding = tuple((k - 1) * d // 2 for k, d in pads) if padding is None else padding
    what = Convolution(size, shape[-1] // groups, features, strides, padding, dilation, groups)
    return convs.choose(shape, what)


@pytest.mark.parametrize(
    "shape, size, features, options, cpu, gpu",
    [
        ((8, 8, 14, 14, 256), (1, 1, 1), 64, {}, "products", "products"),
        ((8, 8, 14, 14, 256), (1, 1, 1), 256, dict(groups=256), "shifted", "shifted"),
        ((8, 32, 224, 224, 3), (5, 7, 7), 8, dict(strides=(1, 2, 2)), "cat2d", "space_to_depth"),
        ((8, 32, 224, 224, 3), (5, 7, 7), 64, dict(strides=(2, 2, 2)), "cat2d", "cat2d"),
        ((8, 16, 56, 56, 64), (3, 3, 3), 128, {}, "taps2d", "cat2d"),
        ((8, 2, 7, 7, 512), (3, 3, 3), 512, {}, "products", "cat2d"),
        ((8, 4, 14, 14, 1024), (3, 1, 1), 512, {}, "products", "flat2d"),
        ((8, 32, 56, 56, 32), (3, 1, 1), 8, {}, "flat2d", "flat2d"),
        ((8, 32, 56, 56, 8), (5, 1, 1), 16, dict(strides=(8, 1, 1)), "one_product", "one_product"),
        ((32, 100, 68, 10), (3, 1), 10, dict(dilation=(2, 1)), "flat2d", "one_product"),
        ((32, 100, 68, 64), (9, 1), 64, {}, "flat2d", "flat2d"),
        ((8, 2, 56, 56, 64), (3, 1, 1), 64, {}, "flat2d", "one_product"),
        ((8, 8, 56, 56, 64), (3, 3, 3), 64, dict(groups=64), "shifted", "taps2d"),
        ((8, 16, 112, 112, 24), (5, 1, 1), 24, dict(groups=24), "shifted", "shifted"),
        ((8, 56, 56, 24), (3, 3), 24, dict(groups=24), "shifted", "plain"),
        ((8, 56, 56, 64), (3, 3), 64, {}, "plain", "plain"),
        ((8, 8, 56, 56, 64), (1, 3, 3), 64, {}, "taps2d", "cat2d"),
        ((8, 14, 14, 256), (3, 3), 256, dict(groups=32), "products", "products"),
        ((8, 224, 224, 3), (16, 16), 768, dict(strides=(16, 16), padding=(0, 0)), *["patches"] * 2),
    ],
)
def test_each_backend_has_its_formulation(shape, size, features, options, cpu, gpu, monkeypatch):
    """What was measured to be fast, see docs/benchmarks.md."""
    for backend, name in (("cpu", cpu), ("gpu", gpu), ("tpu", None)):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        found = chosen(shape, size, features, **options)
        assert found == (name or (cpu if math.prod(size) == 1 else "plain"))


@pytest.mark.parametrize("backend", ["cpu", "gpu", "tpu"])
def test_the_choice_accepts_every_published_convolution(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    names = set()
    for row in ROWS:
        channels = row.conv.channels * row.conv.groups
        names.add(found := convs.choose((8 * row.batch, *row.space, channels), row.conv))
        assert FORMULATIONS[found].accepts(row.conv), row
    assert len(names) == {"cpu": 8, "gpu": 9, "tpu": 3}[backend]


def operations(function, *arrays, kind="conv_general_dilated"):
    jaxpr = jax.make_jaxpr(function)(*arrays)
    return [e for e in jaxpr.eqns if e.primitive.name == kind]


def test_a_formulation_is_forced():
    x, kernel = jnp.zeros((1, 6, 32, 32, 8)), jnp.zeros((3, 3, 3, 8, 8))

    def axes(name):
        with forced(conv=name):
            found = operations(lambda x, k: conv(x, k, (1,) * 3, (1,) * 3), x, kernel)
        return [e.invars[0].aval.ndim - 2 for e in found]

    assert axes("plain") == [3]
    assert axes("cat2d") == [2]
    assert axes("taps2d") == [2, 2, 2]
    assert axes("products") == []
    assert axes("patches") == [2, 2, 2]  # which does not accept it


def test_a_cpu_compiles_no_convolution_over_three_axes():
    """Neither forward nor in the gradients: XLA has no fast 3-D convolution there."""
    x, kernel = jnp.zeros((1, 4, 24, 24, 8)), jnp.zeros((3, 3, 3, 8, 8))

    def program(x, kernel):
        return results(lambda x, k: conv(x, k, (1,) * 3, (1,) * 3), x, kernel, x)

    def windows():
        text = jax.jit(lambda x, kernel: program(x, kernel)).lower(x, kernel).compile().as_text()
        return re.findall(r" convolution\(.*window={size=([0-9x]+)", text)

    found = windows()
    assert found
    assert all(size.count("x") == 1 for size in found)
    with forced(conv="plain"):
        assert any(size.count("x") == 2 for size in windows())


@pytest.mark.parametrize("options", [dict(dilation=(2, 1)), dict(strides=(2, 1))])
def test_a_gpu_has_no_gradient_with_a_giant_kernel(options, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    settings = {"strides": (1, 1), "padding": (2, 0), **options}
    x, kernel = jnp.zeros((1, 20, 5, 4)), jnp.zeros((3, 1, 4, 4))
    grad = jax.grad(lambda x, k: conv(x, k, **settings).sum(), (0, 1))
    assert operations(grad, x, kernel) == []
    assert len(operations(grad, x, kernel, kind="dot_general")) >= 2


# Devices


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_no_device_gathers_a_batch(groups, backend, monkeypatch):
    """In any formulation of a rule, forward or in the gradients."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    sizes = (3, 3, 3), (3, 1, 1), (2, 2, 2)
    mesh = meshes.build()

    def step(x, kernels, gradients):
        found = []
        for size, kernel, gradient in zip(sizes, kernels, gradients, strict=True):
            settings = (size, (0,) * 3) if size[1] == 2 else ((1,) * 3, [k // 2 for k in size])
            function = lambda x, k, s=settings: conv(x, k, *map(tuple, s), (), groups)  # noqa: E731
            found.append(results(function, x, kernel, gradient))
        return found

    def array(shape, sharding):
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=sharding)

    rows = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
    x = array((16, 4, 8, 8, 4), rows)
    kernels = [array((*size, 4 // groups, 4), meshes.replicated(mesh)) for size in sizes]
    gradients = [array(x.shape, rows), array(x.shape, rows), array((16, 2, 4, 4, 4), rows)]
    text = jax.jit(step).lower(x, kernels, gradients).compile().as_text()
    assert "all-reduce" in text
    assert gathers(text) == []


@pytest.mark.skipif(jax.__version_info__ < (0, 11), reason="its XLA removes barriers on CPUs")
def test_on_a_cpu_the_gradient_of_what_follows_is_computed_once():
    """The gradient of the kernel needs it transposed, which is a copy and no second computation."""
    x, kernel = jnp.ones((2, 3, 28, 28, 64)), jnp.ones((1, 1, 1, 64, 32))

    def loss(x, kernel):
        y = conv(x, kernel, (1, 1, 1), (0, 0, 0))
        y = (y - y.mean((0, 1, 2, 3))) / jnp.sqrt(y.var((0, 1, 2, 3)) + 1)
        return (jax.nn.relu(y) ** 3).sum()

    text = jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).compile().as_text()
    transposed = re.findall(r"= f32\[32,4704\]\S* (?:fusion|copy|transpose)\(([^)]*)\)", text)
    assert [operands.count("%") for operands in transposed] == [1]
