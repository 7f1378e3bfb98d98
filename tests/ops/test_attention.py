"""Softmax attention against loops over heads, queries and keys, in every formulation.

There is no GPU here, so XLA stands in for cuDNN, behind the limits of cuDNN's call.
"""

import itertools
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo as cudnn
from jax.sharding import NamedSharding, PartitionSpec

from jaxvid.distributed import mesh as meshes
from jaxvid.ops import attention as module
from jaxvid.ops import formulation
from jaxvid.ops.attention import attention
from jaxvid.ops.formulation import forced
from tests.conftest import gathers
from tests.ops.exact_attention import check_bfloat16, reference, sum_to

B, N, M, G, D, E = 2, 3, 5, 2, 4, 6


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def inputs(m=M):
    """Queries, keys and values; there are `m` keys."""
    return draw(B, N, G, D, seed=1), draw(B, m, G, D, seed=2), draw(B, m, G, E, seed=3)


def loops(q, k, v, added=0.0, scale=D**-0.5):
    """The same with numbers that are added to the scores (..., g, n, m)."""
    added = np.broadcast_to(np.float64(added), (B, G, N, k.shape[1]))
    out = np.zeros((B, N, G, E))
    for b, i, g in itertools.product(range(B), range(N), range(G)):
        scores = np.array([scale * q[b, i, g] @ key for key in k[b, :, g]]) + added[b, g, i]
        weights = np.exp(scores - scores.max())
        out[b, i, g] = weights / weights.sum() @ v[b, :, g]
    return out


def check(found, want):
    assert (found.shape, found.dtype) == ((B, N, G, E), jnp.float32)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, dict(scale=1.0), dict(scale=0.25)])
def test_values_are_averaged_by_the_products_of_queries_and_keys(options):
    check(attention(*inputs(), **options), loops(*inputs(), **options))


@pytest.mark.parametrize("shape", [(G, N, M), (B, 1, N, M), (N, M), (1, M)])
def test_a_bias_is_added_to_the_scores(shape):
    bias = draw(*shape)
    check(attention(*inputs(), bias=jnp.asarray(bias)), loops(*inputs(), bias))


@pytest.mark.parametrize("shape", [(G, N, M), (B, 1, N, M), (N, M), (B, 1, 1, M)])
def test_a_mask_hides_keys_or_adds_constants(shape):
    shown = np.random.default_rng(0).random(shape) < 0.6
    shown[..., 2] = True
    check(attention(*inputs(), mask=shown), loops(*inputs(), np.where(shown, 0, -np.inf)))
    added = np.where(shown, 0, -100).astype(np.float32)
    for mask in (added, jnp.asarray(added)):
        found = jax.jit(lambda *x, mask=mask: attention(*x, mask=mask))(*inputs())
        check(found, loops(*inputs(), added))


def test_causal_queries_see_no_later_keys():
    earlier = np.where(np.tri(N), 0, -np.inf)
    check(attention(*inputs(N), causal=True), loops(*inputs(N), earlier))


def test_a_cap_bounds_the_products_before_a_bias_and_a_mask():
    q, k, v = inputs()
    bias, shown, cap = draw(G, N, M), np.arange(M) != 2, 0.5
    scores = np.einsum("bngd,bmgd->bgnm", np.float64(q), k) * D**-0.5
    scores = cap * np.tanh(scores / cap) + bias + np.where(shown, 0, -np.inf)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    options: dict = dict(bias=jnp.asarray(bias), mask=shown, cap=cap)
    check(attention(q, k, v, **options), np.einsum("bgnm,bmge->bnge", weights, v))
    assert not np.allclose(
        attention(q, k, v, **{**options, "cap": 1.0}), attention(q, k, v, **options)
    )


def test_bias_mask_and_causal_go_together():
    bias, shown = draw(G, N, N), np.ones((B, 1, N, N), bool)
    shown[:, :, 1:, 0] = False
    want = bias + np.where(shown & np.tri(N, dtype=bool), 0, -np.inf)
    found = attention(*inputs(N), bias=jnp.asarray(bias), mask=shown, causal=True)
    check(found, loops(*inputs(N), want))


def test_no_axis_before_the_tokens_is_needed():
    q, k, v = inputs()
    for found in (attention(q[0], k[0], v[0]), attention(q[None], k[None], v[None])[0, 0]):
        np.testing.assert_allclose(found, attention(q, k, v)[0], rtol=1e-5, atol=1e-6)


def test_a_bias_has_a_gradient_and_a_mask_has_none():
    def total(bias, mask):
        return jnp.square(attention(*inputs(), bias=bias, mask=mask)).sum()

    zeros = jnp.zeros((G, N, M))
    bias, mask = jax.grad(total, (0, 1))(zeros, zeros)
    assert np.abs(bias).min() > 0
    assert np.abs(mask).max() == 0


def test_bfloat16_scores_are_normalized_in_float32():
    q, k, v = (jnp.asarray(x, jnp.bfloat16) for x in inputs())
    found = attention(q, k, v, bias=jnp.zeros((G, N, M)))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float32(found), loops(*inputs()), atol=0.05)
    program = str(jax.make_jaxpr(lambda *x: attention(*x))(q, k, v))
    assert "exp" in program and all(
        "f32" in line for line in program.splitlines() if " exp " in line
    )


def test_a_query_that_sees_no_key_gets_zeros():
    shown = np.ones((B, 1, N, M), bool)
    shown[0, :, 1] = False
    for mask in (shown, np.where(shown, 0, -np.inf).astype(np.float32)):
        found = attention(*inputs(), mask=mask)
        assert not found[0, 1].any()
        check(found, np.where(shown.any(-1)[:, 0, :, None, None], loops(*inputs()), 0))


@pytest.mark.parametrize("capability,has_preset", [("7.0", False), ("9.0", True), ("gfx90a", True)])
def test_gpus_without_bfloat16_get_no_preset_for_it(capability, has_preset, monkeypatch):
    device = SimpleNamespace(compute_capability=capability, platform="gpu")
    q = jax.ShapeDtypeStruct((2, 8, 3, 16), jnp.bfloat16)
    with monkeypatch.context() as patch:
        patch.setattr(jax, "devices", lambda: [device])
        program = jax.make_jaxpr(lambda q: attention(q, q, q))(q)
    assert ("BF16_BF16_F32" in str(program)) == has_preset


# Formulations, forward and backward, in bfloat16 against float64


class Cudnn:
    """XLA in place of cuDNN: `jax.nn.dot_product_attention` with the limits of that call."""

    def __init__(self):
        self.shapes = []

    def __call__(self, q, k, v, bias, mask, *, implementation, **options):
        assert implementation == "cudnn"
        self.shapes.append(q.shape)
        layout = cudnn.AttentionLayout.BTNH
        for pairs in (bias, mask):
            cudnn.check_layout(q, k, v, pairs, *[None] * 6, layout)
            assert pairs is None or (pairs.shape[0] == 1 and pairs.shape[1] in (1, q.shape[2]))
        assert bias is None or bias.dtype == q.dtype
        cudnn.check_is_flash_attention(q, k, v, layout.value, 91900, True, True)
        return self.real(q, k, v, bias, mask, implementation="xla", **options)

    real = staticmethod(jax.nn.dot_product_attention)


@pytest.fixture
def fake_gpu(monkeypatch):
    """A machine with a GPU, as far as the rule can tell, where all of cuDNN's calls compile."""
    fake = Cudnn()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax.nn, "dot_product_attention", fake)
    monkeypatch.setattr(module, "compile_error", lambda *arguments: "")
    module._probe_cudnn.cache_clear()
    formulation.log_once.cache_clear()
    return fake


def shown_at_random(*shape, hidden_row=False):
    shown = np.random.default_rng(0).random(shape) < 0.7
    shown[..., 0, :] = not hidden_row
    return shown


CASES = {
    "alone": ((2,), 6, 6, None, None, {}),
    "odd lengths": ((2,), 5, 7, None, None, {}),
    "no batch": ((), 6, 6, (3, 6, 6), None, {}),
    "scale": ((2,), 6, 6, None, None, dict(scale=1.0)),
    "causal": ((2,), 6, 6, None, None, dict(causal=True)),
    "causal and odd": ((2,), 7, 7, None, None, dict(causal=True)),
    "bias": ((2, 4), 6, 6, (3, 6, 6), None, {}),
    "bias of all heads": ((2,), 7, 6, (7, 6), None, {}),
    "bias of each sample": ((2, 4), 5, 6, (2, 1, 3, 5, 6), None, {}),
    "mask": ((2,), 6, 6, None, shown_at_random(6, 6), {}),
    "mask of keys": ((2,), 6, 6, None, shown_at_random(1, 6), {}),
    "mask of each sample": ((2,), 5, 5, None, shown_at_random(2, 1, 5, 5), {}),
    "mask of each window, and bias": (
        (2, 4),
        7,
        7,
        (3, 7, 7),
        shown_at_random(4, 1, 7, 7, hidden_row=True),
        {},
    ),
    "everything": ((2,), 7, 7, (1, 7, 7), shown_at_random(7, 7), dict(causal=True, scale=0.5)),
    "hidden rows": ((2,), 6, 6, None, shown_at_random(6, 6, hidden_row=True), {}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("path", ["plain", "cudnn"])
def test_formulations_are_within_the_rounding_of_bfloat16(name, path, fake_gpu, said):
    batch, n, m, bias_shape, shown, options = CASES[name]
    q, d_out = (jnp.bfloat16(draw(*batch, n, 3, 8, seed=i)) for i in (1, 2))
    k, v = (jnp.bfloat16(draw(*batch, m, 3, 8, seed=i)) for i in (3, 4))
    bias = None if bias_shape is None else jnp.bfloat16(draw(*bias_shape)).astype(jnp.float32)

    def call(q, k, v, bias):
        return attention(q, k, v, bias=bias, mask=shown, **options)

    @jax.jit
    def run(q, k, v, bias, d_out):
        out, pull = jax.vjp(call, q, k, v, bias)
        return out, *pull(d_out)

    with forced(attention=path):
        found = run(q, k, v, bias, d_out)
    assert bool(fake_gpu.shapes) == (path == "cudnn") and said == []
    sees = np.tri(n, m, dtype=bool) if options.get("causal") else True
    sees = sees if shown is None else sees & shown
    want = reference(
        q, k, v, 0 if bias is None else bias, sees, d_out, options.get("scale", 8**-0.5)
    )
    for i, (got, exact) in enumerate(zip(found, want, strict=True)):
        if got is None:
            continue
        if i == 4:  # the sum over what the bias was broadcast to
            exact = sum_to(exact, got.shape)
        check_bfloat16(got, exact)


# The rule


def half(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.bfloat16)


@pytest.mark.parametrize(
    "tokens,width,options,is_fused",
    [
        (392, 32, {}, True),
        (392, 32, dict(bias=(3, 392, 392)), True),
        (392, 32, dict(bias=(3, 392, 392), mask=(2, 1, 392, 392)), False),  # windows of two kinds
        (392, 32, dict(bias=(3, 392, 392), mask=(392, 392)), True),
        (1568, 64, {}, True),
        (197, 64, {}, True),
        (257, 64, dict(causal=True), True),
        (50, 64, {}, False),
        (8, 64, {}, False),
        (392, 36, {}, False),
        (392, 256, {}, False),
        (392, 32, dict(dtype=jnp.float32), False),
        (392, 32, dict(drop=lambda weights: weights), False),
    ],
)
def test_long_sequences_go_to_cudnn(tokens, width, options, is_fused, fake_gpu, said):
    dtype = options.pop("dtype", jnp.bfloat16)
    x = jax.ShapeDtypeStruct((2, tokens, 3, width), dtype)
    shapes = {"bias": jnp.float32, "mask": jnp.bool_}
    arrays = {k: jax.ShapeDtypeStruct(options.pop(k), shapes[k]) for k in shapes if k in options}
    found = jax.eval_shape(lambda q, a: attention(q, q, q, **a, **options), x, arrays)
    assert (found.shape, found.dtype) == (x.shape, dtype)
    assert bool(fake_gpu.shapes) == is_fused and said == []


def test_the_cpu_computes_plainly(monkeypatch, said):
    fake = Cudnn()
    monkeypatch.setattr(jax.nn, "dot_product_attention", fake)
    jax.eval_shape(lambda q: attention(q, q, q), half(2, 392, 3, 32))
    assert fake.shapes == [] == said


@pytest.mark.parametrize(
    "shape,dtype,line",
    [
        ((2, 8, 3, 32), jnp.bfloat16, "there is no GPU"),
        ((2, 8, 3, 32), jnp.float32, "it takes bfloat16 or float16, not float32"),
        (
            (2, 8, 3, 36),
            jnp.bfloat16,
            "a head has 36 and 36 channels, not a multiple of 8 up to 128 for both",
        ),
    ],
)
def test_a_formulation_that_does_not_fit_falls_back_and_says_so_once(
    shape, dtype, line, fake_gpu, said, monkeypatch
):
    if "GPU" in line:
        monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    q = jax.ShapeDtypeStruct(shape, dtype)
    with forced(attention="cudnn"):
        for _ in range(2):
            assert jax.eval_shape(lambda q: attention(q, q, q), q).shape == shape
    assert said == [f"attention: plain XLA instead of cuDNN: {line}"]
    assert fake_gpu.shapes == []


def test_what_cudnn_refuses_to_compile_falls_back_in_the_middle_of_a_program(monkeypatch, said):
    def refuse(*arguments, **options):
        raise NotImplementedError("No execution plan\nfor this graph")

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax.nn, "dot_product_attention", refuse)
    module._probe_cudnn.cache_clear()
    formulation.log_once.cache_clear()
    q = jnp.bfloat16(draw(1, 130, 1, 8))
    found = jax.jit(lambda q: attention(q, q, q))(q)
    check_bfloat16(found, reference(q, q, q, 0, True, q, 8**-0.5)[0])
    line = "attention: plain XLA instead of cuDNN: NotImplementedError: No execution plan"
    assert said == [line]


@pytest.mark.parametrize("path", ["plain", "cudnn"])
@pytest.mark.parametrize("axes", [("data",), ("data", None, None, "model")])
def test_devices_compute_their_own_samples_and_heads(path, axes, fake_gpu, said):
    """A bias for all windows, and a mask that differs between them."""
    mesh = meshes.build(4, 2)
    shape = (8, 2, 7, 4, 8)
    shown = shown_at_random(2, 1, 7, 7)

    @jax.jit
    def gradients(x, bias):
        def loss(x, bias):
            return jnp.sin(attention(*x, bias=bias, mask=shown).astype(jnp.float32)).sum()

        return jax.grad(loss, (0, 1))(x, bias)

    x = [jnp.bfloat16(draw(*shape, seed=i)) for i in range(3)]
    bias = jnp.asarray(draw(4, 7, 7))
    with forced(attention=path):
        want = gradients(x, bias)
        x = jax.device_put(x, NamedSharding(mesh, PartitionSpec(*axes)))
        bias = jax.device_put(bias, NamedSharding(mesh, PartitionSpec(*axes[3:])))
        compiled = gradients.lower(x, bias).compile()
    assert gathers(compiled.as_text() or "") == [] == said
    for got, exact in zip(*map(jax.tree.leaves, (compiled(x, bias), want)), strict=True):
        check_bfloat16(got, np.float64(exact))


# Lowering for CUDA, which needs no GPU


@pytest.mark.parametrize(
    "name,calls",
    [
        ("odd lengths", ["fmhaSoftmax", "fmhaSoftmaxBackward"]),
        ("bias", ["fmhaScaleBiasSoftmax", "fmhaScaleBiasSoftmaxBackward"]),
        ("everything", ["fmhaScaleBiasSoftmax", "fmhaScaleBiasSoftmaxBackward"]),
        (
            "mask of each window, and bias",
            ["fmhaScaleBiasSoftmax", "fmhaScaleBiasSoftmaxBackward"],
        ),
    ],
)
def test_gpus_get_calls_of_cudnn(name, calls, fake_gpu, monkeypatch):
    batch, n, m, bias_shape, shown, options = CASES[name]
    monkeypatch.setattr(jax.nn, "dot_product_attention", Cudnn.real)
    monkeypatch.setattr(cudnn, "check_cudnn_version", lambda: 91900)
    q, k = half(*batch, n, 3, 8), half(*batch, m, 3, 8)
    bias = jax.ShapeDtypeStruct(bias_shape or (1, 1), jnp.float32)

    def loss(q, k, v, bias):
        bias = bias if bias_shape else None
        return attention(q, k, v, bias=bias, mask=shown, **options).astype(jnp.float32).sum()

    with forced(attention="cudnn"):
        traced = jax.jit(jax.grad(loss, (0, 1, 2, 3))).trace(q, k, k, bias)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert re.findall(r"__cudnn\$(\w+)", text) == calls


def test_the_backward_pass_keeps_weights_in_the_dtype_of_the_values():
    tokens = jax.ShapeDtypeStruct((2, 64, 3, 8), jnp.bfloat16)
    _, transpose = jax.eval_shape(lambda x: jax.vjp(lambda x: attention(x, x, x), x), tokens)
    pairs = [leaf for leaf in jax.tree.leaves(transpose) if leaf.size >= 2 * 3 * 64 * 64]
    assert [leaf.dtype for leaf in pairs] == [jnp.bfloat16]
