"""Counted operations are those of formulas, and of the published numbers of every family."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxvid import plug
from jaxvid.ops import conv as ops_conv
from jaxvid.ops.formulation import forced
from jaxvid.ops.window_attention import window_attention
from jaxvid.train.flops import flops
from jaxvid.weights import zoo

IMAGE = jax.ShapeDtypeStruct((2, 9, 9, 4), jnp.float32)
KERNEL = jax.ShapeDtypeStruct((3, 3, 4, 8), jnp.float32)
OUT = 2 * 5 * 5 * 8  # elements, with strides of 2 and a padding of 1
CONV = 2 * OUT * 3 * 3 * 4


def conv(x, kernel, groups=1):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (2, 2), [(1, 1)] * 2, dimension_numbers=layout, feature_group_count=groups
    )


def square(x):
    return x @ x


def loop(x):
    return lax.scan(lambda carry, _: (carry @ carry, None), x, length=5)[0]


def branches(x):
    return lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, square, x)


def remade(x):
    return jax.jit(jax.checkpoint(square))(x)


@jax.custom_vjp
def with_own_gradient(x):
    return square(x)


with_own_gradient.defvjp(lambda x: (square(x), x), lambda x, g: (g @ x.T + x.T @ g,))


@pytest.mark.parametrize(
    "function, products",
    [
        (square, 1),
        (loop, 5),
        (branches, 2),
        (remade, 1),
        (with_own_gradient, 1),
        (jnp.tanh, 0),
        (jax.grad(lambda x: with_own_gradient(x).sum()), 3),
    ],
)
def test_products(function, products):
    assert flops(function, jax.ShapeDtypeStruct((7, 7), jnp.float32)) == products * 2 * 7**3


def test_a_batched_product():
    x, y = jnp.zeros((3, 4, 5)), jnp.zeros((3, 6, 5))
    assert flops(lambda x, y: jnp.einsum("bik,bjk->bij", x, y), x, y) == 2 * 3 * 4 * 6 * 5


def test_attention_counts_in_every_formulation():
    n, g, d = 12, 2, 16
    tokens = jax.ShapeDtypeStruct((3, 4, n, g, d), jnp.float32)
    table = jax.ShapeDtypeStruct((2 * n - 1, g), jnp.float32)

    def windows(x, table):
        return window_attention(x, x, x, table, np.arange(n))

    with forced(attention="kernel"):
        assert "pallas_call" in str(jax.make_jaxpr(windows)(tokens, table))
        assert flops(windows, tokens, table) == 2 * 2 * 3 * 4 * g * n * n * d


def test_a_convolution_and_its_gradients():
    assert flops(conv, IMAGE, KERNEL) == CONV

    def loss(x, kernel):
        return conv(x, kernel).sum()

    # Of the forward pass, for the kernel, and for the image, whose 9 x 9 pixels stand for 10 x 10.
    found = flops(jax.grad(loss, (0, 1)), IMAGE, KERNEL)
    assert found == pytest.approx(CONV + CONV + CONV * 81 / 100)


def test_groups_share_the_work():
    kernel = jax.ShapeDtypeStruct((3, 3, 1, 8), jnp.float32)
    assert flops(lambda x, k: conv(x, k, 4), IMAGE, kernel) == CONV / 4


# Of a stem over space and time, of one frame, and over time: faster formulations may compute more.
@pytest.mark.parametrize("kernel", [(5, 7, 7, 3, 8), (1, 3, 3, 4, 8), (3, 1, 1, 4, 8)])
def test_a_convolution_of_a_layer_counts_as_published(kernel):
    x = jax.ShapeDtypeStruct((2, 8, 16, 16, kernel[3]), jnp.float32)
    half = tuple(size // 2 for size in kernel[:3])
    count = flops(
        lambda x, w: ops_conv.conv(x, w, (1, 1, 1), half),
        x,
        jax.ShapeDtypeStruct(kernel, jnp.float32),
    )
    assert count == 2 * 2 * 8 * 16 * 16 * kernel[4] * kernel[0] * kernel[1] * kernel[2] * kernel[3]


# GFLOPs of open_clip's docs/model_profile.csv, two for each multiply-add.
def test_published_counts_of_clip():
    net = plug.load("models", dict(name="clip4clip", variant="vitb32"))
    video = jax.ShapeDtypeStruct((1, 1, 224, 224, 3), jnp.float32)
    text = jax.ShapeDtypeStruct((1, 77), jnp.int32)
    for inputs, gflops in ((dict(video=video), 8.82), (dict(text=text), 5.96)):
        variables = jax.eval_shape(
            lambda x: net.init(jax.random.key(0), **x, train=False),
            dict(video=video, text=text),
        )
        count = flops(lambda v, x: net.apply(v, **x, train=False), variables, inputs)
        assert count == pytest.approx(gflops * 1e9, rel=0.02)


# Multiply-adds, as MMAction2 and Video Swin publish them.
# Name of the zoo -> what a published count was made with: frames, size; people, frames, joints.
PUBLISHED = {
    "swin_tiny_32x2_k400": (32, 224, 224, 3),
    "swin_base_u32_ssv2": (32, 224, 224, 3),
    "slowonly_r50_8x8_k400": (8, 256, 256, 3),
    "slowonly_r50_4x16_in1k-nl_k400": (4, 256, 256, 3),
    "slowfast_r50_4x16_k400": (32, 256, 256, 3),
    "slowfast_r101_8x8_k400": (32, 256, 256, 3),
    "tsm_r50_u8_k400": (8, 224, 224, 3),
    "tsm_r50_u8_nl-gaussian_k400": (8, 224, 224, 3),
    "tsn_r50_u8_k400": (25, 224, 224, 3),
    "stgcn_2d_u100_joint_ntu60": (2, 100, 17, 3),
    "stgcnpp_3d_u100_joint_ntu60": (2, 100, 25, 3),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name):
    row = zoo.get(name)
    net = plug.load("models", row.model, num_classes=row.num_classes, dtype=jnp.float32)
    x = jax.ShapeDtypeStruct((1, *PUBLISHED[name]), jnp.float32)
    variables = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), x)
    found = flops(lambda v, x: net.apply(v, x, train=False), variables, x)
    assert found == pytest.approx(2e9 * row.flops_g, rel=0.02)
