"""Attention inside windows: the kernel, interpreted, against float64 and other formulations."""

import contextlib
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxvid.distributed import mesh as meshes
from jaxvid.models import swin
from jaxvid.ops import formulation
from jaxvid.ops import window_attention as module
from jaxvid.ops.formulation import forced
from jaxvid.ops.window_attention import relative_rows, window_attention
from tests.conftest import fill, gathers
from tests.ops.exact_attention import check_bfloat16, reference

SIZE, WINDOWS = (2, 3, 5), 3  # two tiles of 16 tokens, the second with 14


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def case(b, g, d, dtype, size=SIZE, windows=WINDOWS):
    """q, k, v, the table, the gradient of the output; codes and regions of the tokens."""
    n = math.prod(size)
    q, k, v, d_out = (jnp.asarray(draw(b, windows, n, g, d, seed=i), dtype) for i in range(4))
    table = jnp.asarray(draw(math.prod(2 * s - 1 for s in size), g))
    regions = np.random.default_rng(0).integers(0, 3, (windows, n))
    return (q, k, v, table, d_out), swin.position_codes(size), regions


def gradients(codes, regions):
    """Output and gradients, jitted anew: what is forced counts when a program is traced."""

    @jax.jit
    def run(q, k, v, table, d_out):
        out, pull = jax.vjp(lambda *x: window_attention(*x, codes, regions), q, k, v, table)
        return out, *pull(d_out)

    return run


def exact(arrays, codes, regions):
    q, k, v, table, d_out = arrays
    rows = relative_rows(codes, len(table))
    shown = True if regions is None else (regions[:, :, None] == regions[:, None])[:, None]
    bias = np.moveaxis(np.asarray(table)[rows], -1, 0)
    *found, d_bias = reference(q, k, v, bias, shown, d_out, q.shape[-1] ** -0.5)
    d_table = np.zeros(table.shape)
    np.add.at(d_table, rows, np.moveaxis(d_bias.sum((0, 1)), 0, -1))
    return *found, d_table


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(module, "TILE", 16)
    formulation.log_once.cache_clear()


def test_the_kernel_is_exact_in_float32(said):
    arrays, codes, regions = case(2, 2, 16, jnp.float32)
    with forced(attention="kernel"):
        run = gradients(codes, regions)
        assert "pallas_call" in str(jax.make_jaxpr(run)(*arrays))
        found = run(*arrays)
    for got, want in zip(found, exact(arrays, codes, regions), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * np.abs(want).max())
    assert said == []


@pytest.mark.parametrize("path", ["plain", "kernel"])
def test_bfloat16_on_devices_that_share_samples_and_heads(path):
    mesh = meshes.build(4, 2)
    arrays, codes, _ = case(4, 2, 16, jnp.bfloat16, windows=1)
    axes = "data", None, None, "model"
    shared = NamedSharding(mesh, PartitionSpec(*axes))
    table = NamedSharding(mesh, PartitionSpec(None, "model"))
    placed = jax.device_put(arrays, (shared, shared, shared, table, shared))
    with forced(attention=path):
        compiled = gradients(codes, None).lower(*placed).compile()
    assert gathers(compiled.as_text() or "") == []
    for got, want in zip(compiled(*placed), exact(arrays, codes, None), strict=True):
        check_bfloat16(got, want)


@pytest.mark.long
@pytest.mark.parametrize("is_shifted", [False, True])
def test_the_windows_of_swin(is_shifted, monkeypatch):
    """392 tokens, whole tiles of 64 and a rest of 8."""
    monkeypatch.setattr(module, "TILE", 64)
    size = (8, 7, 7)
    arrays, codes, _ = case(1, 3, 32, jnp.bfloat16, size, windows=4)
    regions = swin.shift_regions((8, 14, 14), size, (0, 3, 3)) if is_shifted else None
    with forced(attention="kernel"):
        found = gradients(codes, regions)(*arrays)
    for got, want in zip(found, exact(arrays, codes, regions), strict=True):
        check_bfloat16(got, want)


@pytest.mark.parametrize("path", ["cudnn", "kernel"])
def test_a_block_of_swin_computes_the_same(path, monkeypatch, said):
    """A shifted block on a grid that is padded, beside plain XLA."""
    calls = []
    block = swin.Block(2, window=(2, 3, 3), shifted=True)
    x = draw(2, 2, 4, 5, 32)
    params = fill(jax.eval_shape(lambda x: block.init(jax.random.key(0), x, False), x))

    def outputs_and_gradients():
        def loss(params, x):
            y = block.apply(params, x, False)
            return jnp.sin(y).sum(), y

        return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(params, x)

    with forced(attention="plain"):
        want = outputs_and_gradients()
    if path == "cudnn":  # XLA stands in for it, in float32
        monkeypatch.setattr("jaxvid.ops.attention._reason_against_cudnn", lambda *arguments: "")
        monkeypatch.setattr("jaxvid.ops.attention.compile_error", lambda *arguments: "")
        real = jax.nn.dot_product_attention

        def stand_in(*arrays, implementation, **options):
            calls.append(implementation)
            return real(*arrays, implementation="xla", **options)

        monkeypatch.setattr(jax.nn, "dot_product_attention", stand_in)
    with forced(attention=path):
        found = outputs_and_gradients()
    assert calls == ["cudnn"] * (path == "cudnn") and said == []
    for got, one in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(got, one, rtol=0, atol=1e-5 * np.abs(one).max())


@pytest.mark.parametrize(
    "backend,d,dtype,options,line",
    [
        (
            "cpu",
            24,
            "bfloat16",
            {},
            "a head has 24 channels, which is no power of 2 of at least 16",
        ),
        ("cpu", 8, "bfloat16", {}, "a head has 8 channels, which is no power of 2 of at least 16"),
        ("cpu", 16, "bfloat16", dict(drop=lambda x: x), "weights are dropped"),
        ("gpu", 16, "float32", {}, "it takes bfloat16 or float16 on a GPU, not float32 on gpu"),
        ("tpu", 16, "bfloat16", {}, "it takes bfloat16 or float16 on a GPU, not bfloat16 on tpu"),
    ],
)
def test_what_the_kernel_does_not_take_falls_back(
    backend, d, dtype, options, line, monkeypatch, said
):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    arrays, codes, regions = case(1, 1, d, dtype)
    with forced(attention="kernel"):
        for _ in range(2):
            jax.eval_shape(lambda *x: window_attention(*x, codes, regions, **options), *arrays[:4])
    assert said == [f"attention: another formulation instead of the kernel of windows: {line}"]


def test_a_kernel_that_does_not_compile_falls_back(monkeypatch, said):
    """As with a JAX without the Triton backend of Pallas: here there is no GPU to compile for."""
    arrays, codes, regions = case(1, 1, 16, jnp.bfloat16)
    module._probe_kernel.cache_clear()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with forced(attention="kernel"):
        found = jax.jit(lambda *x: window_attention(*x, codes, regions))(*arrays[:4])
    check_bfloat16(found, exact(arrays, codes, regions)[0])
    assert len(said) == 1 and "instead" in said[0]
    module._probe_kernel.cache_clear()


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")
@pytest.mark.parametrize("is_shifted", [False, True])
def test_gpus_get_four_kernels(is_shifted, monkeypatch):
    """Lowered to Triton for an H100, which needs no GPU, at the sizes of Swin's first stage."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(module, "compile_error", lambda *arguments: "")
    monkeypatch.setattr(module, "TILE", 64)
    size = (8, 7, 7)
    tokens = jax.ShapeDtypeStruct((8, 128, 392, 3, 32), jnp.bfloat16)
    table = jax.ShapeDtypeStruct((15 * 13 * 13, 3), jnp.float32)
    regions = swin.shift_regions((16, 56, 56), size, (4, 3, 3)) if is_shifted else None
    with an_h100(), forced(attention="kernel"):
        traced = gradients(swin.position_codes(size), regions).trace(*[tokens] * 3, table, tokens)
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("__gpu$xla.gpu.triton") == 4


def an_h100():
    """What newer releases of JAX ask of lowering: for which GPU."""
    try:
        from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh
    except ImportError:
        return contextlib.nullcontext()
    values = dict(device_kind="NVIDIA H100 80GB HBM3", num_cores=132, platform="gpu")
    names = inspect.signature(AbstractDevice).parameters
    device = AbstractDevice(**{name: values[name] for name in names})
    return use_abstract_mesh(AbstractMesh((), (), abstract_device=device))
