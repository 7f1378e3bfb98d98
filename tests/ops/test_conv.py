"""Convolutions against `lax.conv_general_dilated`, in the formulations of every backend."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxvid.ops.conv import conv, depthwise_conv

pytestmark = pytest.mark.long

# input without channels, kernel, strides, padding, dilation; what exceeds the kernel is batch
CASES = {
    "pointwise": ((2, 3, 5, 4), (1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1)),
    "pointwise strided": ((2, 5, 5, 4), (1, 1, 1), (2, 3, 2), (0, 0, 0), (1, 1, 1)),
    "pointwise padded in time": ((2, 3, 4, 4), (1, 1, 1), (2, 2, 1), (1, 0, 0), (1, 1, 1)),
    "pointwise padded in space": ((2, 3, 4, 4), (1, 1, 1), (2, 1, 2), (0, 1, 1), (1, 1, 1)),
    "in time": ((2, 6, 3, 4), (3, 1, 1), (1, 1, 1), (1, 0, 0), (1, 1, 1)),
    "in time strided": ((2, 9, 5, 4), (5, 1, 1), (4, 2, 3), (2, 0, 0), (1, 1, 1)),
    "in time dilated": ((2, 9, 3, 2), (3, 1, 1), (2, 1, 1), (2, 0, 0), (3, 1, 1)),
    "in time over joints": ((2, 3, 9, 5), (3, 1), (2, 1), (4, 0), (4, 1)),
    "in time alone": ((3, 7), (4,), (2,), (1,), (1,)),
    "in space": ((2, 3, 6, 5), (1, 3, 3), (1, 2, 1), (0, 1, 1), (1, 1, 1)),
    "in space, time strided": ((2, 5, 6, 7), (1, 3, 2), (2, 1, 2), (0, 1, 0), (1, 1, 2)),
    "in one row": ((2, 3, 6, 5), (1, 1, 3), (1, 2, 2), (0, 0, 1), (1, 1, 1)),
    "3-D": ((2, 4, 5, 4), (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
    "3-D strided": ((2, 7, 7, 8), (5, 3, 2), (2, 2, 3), (2, 1, 0), (1, 1, 1)),
    "3-D dilated": ((2, 6, 7, 5), (2, 3, 1), (2, 1, 1), (2, 2, 1), (3, 2, 1)),
    "2-D": ((2, 6, 5), (3, 3), (2, 1), (1, 2), (1, 2)),
    "2-D, more batch axes": ((2, 2, 3, 4, 5), (3, 2), (1, 2), (1, 0), (1, 1)),
    "no batch axis": ((4, 5), (3, 3), (1, 1), (1, 1), (1, 1)),
}
each_case = pytest.mark.parametrize("case", CASES)
each_backend = pytest.mark.parametrize("backend", ["cpu", "gpu"])
IN, OUT = 3, 4


def draw(case, *channels):
    """Input of IN channels and a kernel (*space, *channels)."""
    size, space, *_ = CASES[case]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((*size, IN)).astype(np.float32)
    return x, rng.standard_normal((*space, *channels)).astype(np.float32)


def reference(x, kernel, strides, padding, dilation, groups=1):
    space = len(strides)
    letters = "XYZ"[:space]
    batch = x.shape[: -space - 1]
    y = lax.conv_general_dilated(
        x.reshape(-1, *x.shape[len(batch) :]),
        kernel,
        strides,
        [(p, p) for p in padding],
        rhs_dilation=dilation,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        feature_group_count=groups,
    )
    return y.reshape(*batch, *y.shape[1:])


def check(ours, reference, x, kernel):
    """Results and gradients agree."""
    shape = jax.eval_shape(reference, x, kernel).shape
    back = np.random.default_rng(1).standard_normal(shape).astype(np.float32)

    @jax.jit
    def both(x, kernel):
        pairs = [jax.vjp(function, x, kernel) for function in (ours, reference)]
        return [(y, *gradient(jnp.asarray(back))) for y, gradient in pairs]

    got, want = both(x, kernel)
    assert got[0].shape == shape
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@each_backend
@each_case
def test_conv_is_a_convolution(case, backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    settings = CASES[case][2:]
    check(
        lambda x, kernel: conv(x, kernel, *settings),
        lambda x, kernel: reference(x, kernel, *settings),
        *draw(case, IN, OUT),
    )


@each_case
def test_depthwise_conv_is_a_grouped_convolution(case):
    settings = CASES[case][2:]
    check(
        lambda x, kernel: depthwise_conv(x, kernel, *settings),
        lambda x, kernel: reference(x, kernel, *settings, groups=IN),
        *draw(case, 1, IN),
    )


def test_no_dilation_is_1():
    x, kernel = map(jnp.asarray, draw("3-D strided", IN, OUT))
    strides, padding = CASES["3-D strided"][2:4]
    want = conv(x, kernel, strides, padding, (1, 1, 1))
    np.testing.assert_array_equal(conv(x, kernel, strides, padding), want)


def test_bfloat16_stays():
    for function, channels in ((conv, (IN, OUT)), (depthwise_conv, (1, IN))):
        x, kernel = (jnp.asarray(a, jnp.bfloat16) for a in draw("3-D", *channels))
        y = jax.eval_shape(lambda x, k, f=function: f(x, k, *CASES["3-D"][2:]), x, kernel)
        assert y.dtype == jnp.bfloat16


# Formulations


def spans(case, backend, monkeypatch):
    """Axes of space of the `lax` convolutions that a case becomes, one by one."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    x, kernel = draw(case, IN, OUT)
    jaxpr = jax.make_jaxpr(lambda x, kernel: conv(x, kernel, *CASES[case][2:]))(x, kernel)
    found = [e for e in jaxpr.eqns if e.primitive.name == "conv_general_dilated"]
    return [e.invars[0].aval.ndim - 2 for e in found]


@pytest.mark.parametrize(
    "case,cpu,gpu",
    [
        ("pointwise", [], []),
        ("pointwise strided", [], []),
        ("pointwise padded in time", [], []),
        ("in time", [], [2]),
        ("in time over joints", [], [2]),
        ("in space", [2], [2]),
        ("2-D", [2], [2]),
        ("3-D", [2, 2, 2], [3]),
        ("3-D strided", [2, 2, 2, 2, 2], [3]),
    ],
)
def test_each_backend_has_its_formulation(case, cpu, gpu, monkeypatch):
    """What is measured to be fast: matrix products, and on a CPU no 3-D convolution."""
    assert spans(case, "cpu", monkeypatch) == cpu
    assert spans(case, "gpu", monkeypatch) == gpu


@each_backend
@pytest.mark.parametrize("function", [conv, depthwise_conv])
@pytest.mark.parametrize("case", ["pointwise", "in time", "in space", "3-D"])
@pytest.mark.parametrize("short", [0, 1, 2])
def test_one_number_an_axis(function, case, short, backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    settings = [s[:-1] if i == short else s for i, s in enumerate(CASES[case][2:])]
    with pytest.raises(ValueError, match="give one number an axis"):
        function(*draw(case, 1, IN), *settings)
