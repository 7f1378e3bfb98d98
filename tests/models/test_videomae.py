"""What is specific to VideoMAE, VideoMAE v2 and UMT: biases, positions, the mean, sizes."""

import copy
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.ops.position import sine_cosine
from jaxvid.weights import resolve
from jaxvid.weights.convert import convert, export
from tests.conftest import CASES, fill


def make(family="videomae", **options):
    spec = dict(name=family, variant="test", **options)
    net = plug.load("models", spec, num_classes=5)
    video = plug.module("models", family).example("test")["video"]
    shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), video)
    return spec, net, shapes, video


def apply(net, variables, x):
    return np.asarray(
        jax.jit(lambda variables, x: net.apply(variables, x, train=False))(variables, x)
    )


def draw(shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


NAMES = {
    "mmaction": ("backbone.blocks.{}.attn.q_bias", "backbone.blocks.{}.attn.v_bias"),
    "official": ("blocks.{}.attn.q_bias", "blocks.{}.attn.v_bias"),
    "transformers": tuple(
        f"videomae.encoder.layer.{{}}.attention.attention.{part}.bias"
        for part in ("query", "value")
    ),
    # Files on the hub have the names of before version 5, which once were loaded as zeros.
    "transformers, on the hub": tuple(
        f"videomae.encoder.layer.{{}}.attention.attention.{part}_bias" for part in "qv"
    ),
}


@pytest.mark.parametrize("upstream", NAMES)
def test_biases_of_queries_and_values_are_loaded(upstream):
    """The keys have none, so that of the queries is not that of the keys, nor zero."""
    spec, net, shapes, _ = make()
    table = resolve.tables(spec, net)[upstream.split(",")[0]]
    tensors = export(fill(shapes), table, net)
    if "hub" in upstream:
        tensors = {
            n.replace("query.bias", "q_bias").replace("value.bias", "v_bias"): x
            for n, x in tensors.items()
        }
    names = [name.format(1) for name in NAMES[upstream]]
    q, v = (np.full(16, value, np.float32) for value in (2, 3))
    loaded, _ = convert(tensors | dict(zip(names, (q, v), strict=True)), shapes, table, net=net)
    bias = loaded["params"]["backbone"]["block1"]["attn"]["qkv"]["bias"]
    np.testing.assert_array_equal(bias, [2] * 16 + [3] * 16)
    for name in names:
        with pytest.raises(UserError, match=r"nothing to load into .*block1/attn/qkv/bias"):
            convert({k: x for k, x in tensors.items() if k != name}, shapes, table, net=net)


def test_biases_of_queries_and_values_change_the_scores():
    _, net, shapes, video = make(depth=1)
    variables, x = fill(shapes), draw(video.shape)
    scores = jax.jit(lambda variables: net.apply(variables, x, train=False))
    before = scores(variables)
    for part in (slice(16), slice(16, 32)):
        changed = copy.deepcopy(variables)
        changed["params"]["backbone"]["block0"]["attn"]["qkv"]["bias"][part] += np.linspace(
            -2, 2, 16
        )
        assert np.abs(scores(changed) - before).max() > 1e-3


def test_keys_have_no_bias():
    _, _, shapes, _ = make()
    assert shapes["params"]["backbone"]["block0"]["attn"]["qkv"]["bias"].shape == (32,)


def test_positions_are_waves_over_the_tokens_in_their_order():
    """With blocks that do nothing, a black clip gives the table: row by row, frame by frame."""
    _, net, shapes, video = make(depth=1)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)["params"]["backbone"]
    out = apply(net.backbone, {"params": zeros}, jnp.zeros(video.shape))
    assert out.shape == (2, 2, 4, 4, 16)
    np.testing.assert_allclose(out[0].reshape(32, 16), sine_cosine(32, 16), atol=1e-6)


def test_the_mean_is_normalized_and_not_the_tokens():
    _, net, shapes, video = make(depth=1)
    variables, x = fill(shapes), draw(video.shape)
    maps = apply(net.backbone, {"params": variables["params"]["backbone"]}, x)
    head = variables["params"]["head"]
    mean = maps.mean((1, 2, 3))
    gap = mean - mean.mean(-1, keepdims=True)
    y = gap / np.sqrt((gap**2).mean(-1, keepdims=True) + 1e-6)
    y = y * head["fc_norm"]["scale"] + head["fc_norm"]["bias"]
    want = y @ head["fc"]["kernel"] + head["fc"]["bias"]
    np.testing.assert_allclose(apply(net, variables, x), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames,side", [(6, 16), (4, 32)])
def test_clips_of_another_size_are_errors_or_resize_the_positions(frames, side):
    clip = jax.ShapeDtypeStruct((1, frames, side, side, 3), np.float32)
    _, net, shapes, _ = make()
    with pytest.raises(UserError, match=rf"clips of 4 frames.*{frames} frames of {side} x {side}"):
        jax.eval_shape(lambda v, x: net.apply(v, x, train=False), shapes, clip)
    _, net, _, _ = make(resize=True)
    backbone = {"params": shapes["params"]["backbone"]}
    out = jax.eval_shape(lambda v, x: net.backbone.apply(v, x, train=False), backbone, clip)
    assert out.shape == (1, frames // 2, side // 4, side // 4, 16)


def test_resized_positions_are_those_of_the_nearest_places():
    """Twice the size: each position of the table is between two new ones."""
    _, net, shapes, _ = make(depth=1, resize=True)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)["params"]["backbone"]
    out = apply(net.backbone, {"params": zeros}, jnp.zeros((1, 4, 32, 32, 3)))
    near = out[0].reshape(2, 4, 2, 4, 2, 16).mean((2, 4))
    slow = slice(8, 16)  # channels whose waves are much longer than the grid
    want = sine_cosine(32, 16).reshape(2, 4, 4, 16)
    np.testing.assert_allclose(near[..., slow], want[..., slow], atol=0.05)


def test_umt_has_a_token_for_each_frame():
    _, net, shapes, _ = make("umt")
    assert shapes["params"]["backbone"]["patch_embed"]["kernel"].shape == (1, 4, 4, 3, 16)
    assert net.backbone.grid == (4, 4, 4)


def test_giant_has_the_width_of_its_files():
    giant = plug.load("models", dict(name="videomaev2", variant="giant", depth=1), attr="backbone")
    clip = jax.ShapeDtypeStruct((1, 16, 224, 224, 3), np.float32)
    shapes = jax.eval_shape(lambda x: giant.init(jax.random.key(0), x, train=False), clip)
    block = shapes["params"]["block0"]
    assert block["mlp"]["fc1"]["kernel"].shape == (1408, 6144)
    assert giant.grid == (8, 16, 16)


@pytest.mark.slow
@pytest.mark.parametrize("family,case", [("videomae", "ParamCount-09"), ("umt", "ParamCount-16")])
def test_parameters_are_as_many_as_published(family, case):
    net = plug.load("models", dict(name=family, variant="base"), num_classes=400)
    video = plug.module("models", family).example("base")["video"]
    params = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), video)["params"]
    want = CASES[case]["expected"]
    fc = sum(x.size for x in params["head"]["fc"].values())
    total = sum(x.size for x in jax.tree.leaves(params))
    assert (total, fc, total - fc) == (want["total"], want["head"], want["backbone"])
    buffers = math.prod(net.backbone.grid) * net.backbone.width if want["backbone_buffers"] else 0
    assert buffers == want["backbone_buffers"]
