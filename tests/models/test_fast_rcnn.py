"""Fast R-CNN on clips: features of boxes, and what becomes of them."""

import functools
import math
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import slowonly_multisports
from jaxvid import plug
from jaxvid.config import options, schema
from jaxvid.errors import UserError
from jaxvid.models import fast_rcnn
from jaxvid.ops.roi_align import roi_align
from jaxvid.train.step import init_variables
from jaxvid.weights import resolve
from jaxvid.weights.convert import convert, export
from tests.conftest import fill

CLASSES = 5
BOXES = np.array([[[0, 0, 20, 30], [8, 4, 32, 32], [3, 3, 9, 8]]], np.float32)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def spec(family="slowonly", variant="test", **overrides):
    backbone = dict(name=family, variant=variant)
    if variant != "test" and family != "swin":
        backbone["strides"] = (1, 2, 2, 1)
    return dict(name="fast_rcnn", backbone=backbone, **overrides)


def build(family="slowonly", variant="test", **overrides):
    return plug.load("models", spec(family, variant, **overrides), num_classes=CLASSES)


def table(family="slowonly", net=None):
    return resolve.tables(spec(family), net)["mmaction"]


def trace(net, *inputs):
    return jax.eval_shape(lambda *x: net.init(jax.random.key(0), *x, train=False), *inputs)


def filled(net, *inputs):
    return fill(trace(net, *inputs))


@functools.cache
def head(**options):
    """The head on features (1, 3, 4, 4, 6), its variables, and a function of features."""
    backbone: Any = SimpleNamespace(stride=8)
    net = fast_rcnn.build(backbone=backbone, num_classes=CLASSES, **options).head
    variables = filled(net, draw(1, 3, 4, 4, 6), BOXES)
    return net, variables, jax.jit(lambda v, x, b: net.apply(v, x, b, train=False))


def by_hand(variables, features, boxes, pooled):
    """Mean or max over time, RoIAlign, maximum, linear."""
    rois = roi_align(pooled(features, axis=1), boxes, 8, 1 / 8)
    fc = variables["params"]["fc"]
    return rois.max((2, 3)) @ fc["kernel"] + fc["bias"]


@pytest.mark.parametrize("pool,pooled", [("avg", np.mean), ("max", np.max)])
def test_the_head_pools_over_time_then_over_the_box(pool, pooled):
    _, variables, apply = head(pool=pool)
    x = draw(1, 3, 4, 4, 6)
    want = by_hand(variables, x, BOXES, pooled)
    np.testing.assert_allclose(apply(variables, x, BOXES), want, atol=1e-5)


def test_pathways_are_joined_slow_first():
    _, variables, apply = head()
    slow, fast = draw(1, 3, 4, 4, 4), draw(1, 12, 4, 4, 2, seed=1)
    both = np.concatenate([slow.mean(1, keepdims=True), fast.mean(1, keepdims=True)], -1)
    got = apply(variables, (slow, fast), BOXES)
    np.testing.assert_allclose(got, by_hand(variables, both, BOXES, np.mean), atol=1e-5)


def test_context_is_the_whole_picture_in_bins():
    """As torch's adaptive pooling has them: of the rows from floor to ceiling."""
    _, variables, apply = head(context=True)
    x = draw(1, 3, 4, 11, 6)
    maps, whole = x.mean(1), np.zeros((8, 8, 6), np.float32)
    for p in range(8):
        for q in range(8):
            rows = slice(p * 4 // 8, math.ceil((p + 1) * 4 / 8))
            columns = slice(q * 11 // 8, math.ceil((q + 1) * 11 / 8))
            whole[p, q] = maps[0, rows, columns].mean((0, 1))
    np.testing.assert_allclose(fast_rcnn.bin_means(maps, 8)[0], whole, atol=1e-6)
    rois = np.asarray(roi_align(maps, BOXES, 8, 1 / 8)).max((2, 3))
    beside = np.broadcast_to(whole.max((0, 1)), rois.shape)
    fc = variables["params"]["fc"]
    want = np.concatenate([rois, beside], -1) @ fc["kernel"] + fc["bias"]
    np.testing.assert_allclose(apply(variables, x, BOXES), want, atol=1e-5)


def test_a_hidden_layer_is_before_the_last():
    _, variables, apply = head(mlp=True)
    x = draw(1, 3, 4, 4, 6)
    first, last = (variables["params"][key] for key in ("hidden", "fc"))
    rois = roi_align(x.mean(1), BOXES, 8, 1 / 8).max((2, 3))
    want = np.maximum(rois @ first["kernel"] + first["bias"], 0) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(apply(variables, x, BOXES), want, atol=1e-5)


def test_the_background_is_the_first_output_and_is_dropped():
    plain, shown = head()[2], head(background=True)[2]
    variables = head(background=True)[1]
    assert variables["params"]["fc"]["kernel"].shape == (6, CLASSES + 1)
    own = {"params": {"fc": {k: v[..., 1:] for k, v in variables["params"]["fc"].items()}}}
    x = draw(1, 3, 4, 4, 6)
    np.testing.assert_array_equal(shown(variables, x, BOXES), plain(own, x, BOXES))


def test_dropout_is_before_the_maximum():
    """Of 64 equal bins some are left, and are twice as large."""
    net, variables, apply = head()
    x = np.ones((1, 3, 4, 4, 6), np.float32)
    inside = np.array([[[8, 8, 24, 24]]], np.float32)
    kept = net.apply(variables, x, inside, train=True, rngs={"dropout": jax.random.key(0)})
    bias = variables["params"]["fc"]["bias"]
    np.testing.assert_allclose(kept - bias, 2 * (apply(variables, x, inside) - bias), rtol=1e-4)


def test_padding_changes_no_other_box():
    net = build()
    video, padded = draw(2, 4, 32, 32, 3), np.zeros((2, 5, 4), np.float32)
    padded[:, :3] = BOXES
    variables = filled(net, video, padded)
    apply = jax.jit(lambda v, x, b: net.apply(v, x, b, train=False))
    few, more = apply(variables, video, padded[:, :3]), apply(variables, video, padded)
    np.testing.assert_allclose(few, more[:, :3], atol=1e-5)
    # Boxes are of their own picture.
    swapped = apply(variables, video[::-1], padded)
    np.testing.assert_allclose(swapped, more[::-1], atol=1e-5)


@pytest.mark.parametrize(
    "family,variant,stride",
    [
        ("slowonly", "test", 8),
        ("slowfast", "test", 8),
        ("swin", "test", 8),
        ("slowonly", "r50", 16),
        ("slowonly", "r101", 16),
        ("slowfast", "r50", 16),
        ("swin", "tiny", 32),
    ],
)
def test_the_head_knows_the_stride_of_the_features(family, variant, stride):
    net = build(family, variant)
    video = jax.ShapeDtypeStruct((1, 8, 64, 96, 3), jnp.float32)
    variables = trace(net.backbone, video)
    maps = jax.eval_shape(lambda v, x: net.backbone.apply(v, x, train=False), variables, video)
    assert {x.shape[2:4] for x in jax.tree.leaves(maps)} == {(64 // stride, 96 // stride)}
    assert net.head.stride == stride


@pytest.mark.parametrize("family", ["slowonly", "slowfast", "swin"])
def test_every_box_has_logits(family):
    net = build(family)
    shapes = fast_rcnn.example("test")
    variables = trace(net, *shapes.values())
    out = jax.eval_shape(lambda v, x: net.apply(v, **x, train=False), variables, shapes)
    assert (out.shape, out.dtype) == ((2, 5, CLASSES), jnp.float32)


@pytest.mark.parametrize("family", ["stgcn", "bmn", "clip4clip"])
def test_a_backbone_without_a_map_of_the_frame_is_refused(family):
    with pytest.raises(UserError, match="a detector needs a map of the frame"):
        build(family)


@pytest.mark.parametrize("family", ["slowonly", "slowfast", "swin"])
def test_a_recognizer_is_where_training_starts(family):
    """All of its backbone is taken, its head is left, and that of the boxes stays fresh."""
    module = plug.module("models", family)
    recognizer = module.build("test", num_classes=9)
    video = draw(*module.example("test")["video"].shape)[:1]
    tensors = export(filled(recognizer, video), module.WEIGHTS["mmaction"], recognizer)
    net = build(family)
    fresh, rows = filled(net, video, BOXES), table(family, net)
    loaded, coverage = convert(tensors, fresh, rows, skip=("head/.*",), net=net)
    assert coverage.tensors == coverage.leaves - 2
    jax.tree.map(np.testing.assert_array_equal, loaded["params"]["head"], fresh["params"]["head"])
    with pytest.raises(UserError, match="nothing to load into params/head/fc/kernel"):
        convert(tensors, fresh, rows, net=net)


@pytest.mark.parametrize(
    "family,own",
    [
        ("slowonly", "backbone.layer1.0.conv1.conv.weight"),
        ("slowfast", "backbone.slow_path.layer1_lateral.conv.weight"),
        ("swin", "backbone.layers.0.blocks.0.attn.qkv.weight"),
    ],
)
def test_names_are_upstreams(family, own):
    net = build(family, background=True)
    names = list(export(filled(net, draw(1, 16, 32, 32, 3), BOXES), table(family, net), net))
    assert own in names
    assert names[-2:] == ["roi_head.bbox_head.fc_cls.weight", "roi_head.bbox_head.fc_cls.bias"]


# A detector on another family: two lines of a config


def on_swin():
    c = slowonly_multisports.get_config()
    c.model.backbone = dict(name="swin", variant="test")
    c.init.weights = "swin_tiny_k400"
    return c


def test_a_detector_on_swin_is_two_lines_of_a_config():
    config = on_swin()
    schema.check(config)
    options.complete(config)
    assert config.model.backbone.window == (2, 2, 2)
    net = plug.load("models", config.model, num_classes=66, dtype=jnp.bfloat16)
    assert net.backbone.dtype == jnp.bfloat16
    task = plug.load("tasks", config.task, num_classes=66)
    shapes = {k: (2, *x.shape[1:]) for k, x in fast_rcnn.example("test").items()}
    batch = dict(
        video=np.random.default_rng(0).integers(0, 255, (2, 1, *shapes["video"][1:]), np.uint8),
        proposals=np.tile(BOXES, (2, 1, 1)),
        proposal_mask=np.ones((2, 3), bool),
        boxes=np.tile(BOXES, (2, 1, 1)),
        box_mask=np.ones((2, 3), bool),
        box_label=np.eye(66, dtype=np.float32)[None, :3].repeat(2, 0),
        mask=np.ones(2, np.float32),
    )
    variables = jax.eval_shape(lambda b: init_variables(net, task, b, 0), batch)

    def loss(params):
        ready = task.prepare(jax.random.key(0), batch, True)
        rngs = {"dropout": jax.random.key(0)}
        out = net.apply({"params": params}, **task.inputs(ready), train=True, rngs=rngs)
        return task.loss(out, ready)[0]

    value, grads = jax.jit(jax.value_and_grad(loss))(fill(variables)["params"])
    assert np.isfinite(value) and value > 0
    assert np.abs(grads["backbone"]["patch_embed"]["kernel"]).max() > 0
