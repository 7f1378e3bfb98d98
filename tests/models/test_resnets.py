"""Properties of all convolutional recognizers: published sizes, no option without an effect."""

import functools
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.weights.convert import export
from tests.conftest import CASES, fill

pytestmark = pytest.mark.long

CLASSES = 5


def build(family, **options: Any):
    return plug.load("models", dict(name=family, variant="test", **options), num_classes=CLASSES)


def trace(net, *shape):
    """Shapes of the variables for a video of this shape."""
    video = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), video)


def draw(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def exported(net, shapes, table):
    """Upstream's names and tensors of filled variables, and these."""
    variables = fill(shapes)
    return export(variables, table, net), variables


@functools.cache
def example(family, **options):
    """Of the test variant: network, filled variables, two clips, compiled evaluation."""
    net = build(family, **options)
    video = draw(*plug.module("models", family).example("test")["video"].shape)

    def near(path, leaf):  # what multiplies is near 1, so that few units are off for all inputs
        ones = path[-1].key in ("scale", "var")
        return leaf if path[-1].key == "kernel" else ones + 0.2 * np.clip(leaf, -3, 3)

    variables = jax.tree_util.tree_map_with_path(near, fill(trace(net, *video.shape)))
    forward = jax.jit(lambda v, x: net.apply(v, x, train=False))
    return SimpleNamespace(net=net, variables=variables, video=video, forward=forward)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


COUNTED = CASES["ParamCount-05"]["expected"]
X3D_M = CASES["ParamCount-06"]["expected"]
AT_8X8 = dict(alpha=4, fusion=7)
# family, variant, options, parameters of the backbone and its buffers, of the head for 400 classes
SIZES = [
    ("tsn", "r50", {}, 23508032, 53173, 819600),
    ("tsn", "r101", {}, 42500160, 105448, 819600),
    ("tsm", "r50", {}, 23508032, 53173, 819600),
    ("tsm", "r50", dict(non_local="embedded_gaussian"), 30862400, 61370, 819600),
    ("tsm", "r50", dict(non_local="gaussian"), 27188288, 61370, 819600),
    ("c2d", "r50", {}, 23508032, 53173, 819600),
    ("c2d", "r101", dict(pool=False), 42500160, 105448, 819600),
    ("i3d", "r50", {}, 27223872, 53173, 819600),
    ("i3d", "r50", dict(heavy=True), 32204608, 53173, 819600),
    ("i3d", "r50", dict(non_local="dot_product"), 34578240, 61370, 819600),
    ("i3d", "r50", dict(non_local="gaussian"), 30904128, 61370, 819600),
    ("r2plus1d", "r34", {}, 63554081, 51200, 205200),
    ("csn", "ip152", {}, 32196992, 175565, 819600),
    ("csn", "ir152", {}, 28883968, 151579, 819600),
    ("csn", "ir50", {}, 12311552, 53173, 819600),
    ("slowonly", "r50", {}, 31634496, 53173, 819600),
    ("slowonly", "r50", dict(non_local="embedded_gaussian"), 38988864, 61370, 819600),
    ("slowonly", "r101", {}, 59539520, 105448, 819600),
    ("slowfast", "r50", {}, *(COUNTED[k] for k in ("backbone", "backbone_buffers", "head"))),
    ("slowfast", "r50", AT_8X8 | dict(lateral_norm=True), 33644488, 60798, 922000),
    ("slowfast", "r101", AT_8X8, 61990312, 118720, 922000),
    ("slowfast", "r101-r50", {}, 61462312, 112141, 922000),
    ("x3d", "m", {}, *(X3D_M[k] for k in ("backbone", "backbone_buffers", "head"))),
    ("x3d", "l", {}, 4449096, 66483, 1704336),
]


@pytest.mark.parametrize("family,variant,options,backbone,buffers,head", SIZES)
def test_parameters_are_as_many_as_published(family, variant, options, backbone, buffers, head):
    spec = dict(name=family, variant=variant, **options)
    shapes = trace(plug.load("models", spec, num_classes=400), 1, 8, 32, 32, 3)
    assert count(shapes["params"]["backbone"]) == backbone
    assert count(shapes["params"]["head"]) == head
    # Upstream's buffers: the statistics, and a count of steps for each norm.
    stats = shapes.get("batch_stats", {})
    norms = len(jax.tree.leaves(stats)) // 2
    assert count(stats) + norms == buffers


SEGMENTS = ["tsn", "tsm", "tanet", "tin", "trn"]
FAMILIES = [*SEGMENTS, "c2d", "c3d", "i3d", "r2plus1d", "csn", "slowonly", "slowfast", "x3d"]
each_family = pytest.mark.parametrize("family", FAMILIES)


@each_family
def test_every_parameter_and_running_statistic_matters(family):
    this = example(family)
    found, structure = jax.tree_util.tree_flatten_with_path(this.variables)
    leaves = [leaf for _, leaf in found]
    want = this.forward(this.variables, this.video)
    still = []
    for i, (path, leaf) in enumerate(found):
        other = leaf + np.abs(draw(*leaf.shape, seed=i))  # variances stay positive
        changed = jax.tree.unflatten(structure, [*leaves[:i], other, *leaves[i + 1 :]])
        if np.abs(this.forward(changed, this.video) - want).max() < 1e-4:  # float noise is 1e-6
            still.append(jax.tree_util.keystr(path))
    assert still == []


@each_family
def test_every_clip_is_on_its_own(family):
    this = example(family)
    want = this.forward(this.variables, this.video)
    for clip in (0, 1):
        other = this.video.copy()
        other[clip] **= 2
        got = this.forward(this.variables, other)
        np.testing.assert_array_equal(got[1 - clip], want[1 - clip])
        assert np.abs(got[clip] - want[clip]).max() > 1e-3
