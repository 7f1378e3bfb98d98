"""PoseC3D: sizes of its networks, the stem that keeps small maps, limbs and joints alike."""

import jax
import jax.numpy as jnp
import pytest

from jaxvid import plug


def variables(variant, frames=8, size=32, **options):
    net = plug.load("models", dict(name="posec3d", variant=variant, **options), num_classes=60)
    maps = jax.ShapeDtypeStruct((2, frames, size, size, 17), jnp.float32)
    made = jax.eval_shape(lambda x: net.init(jax.random.key(0), heatmap=x, train=False), maps)
    return net, made, maps


# The published numbers; those of the light networks follow from PYSKL's configs.
@pytest.mark.parametrize(
    "variant,options,parameters",
    [
        ("r50", {}, 2_024_860),
        ("r50", dict(depths=(3, 4, 6)), 3_034_140),
        ("c3d-light", {}, 3_404_892),
        ("x3d-shallow", {}, 254_508),
    ],
)
def test_parameters(variant, options, parameters):
    _, made, _ = variables(variant, **options)
    assert sum(leaf.size for leaf in jax.tree.leaves(made["params"])) == parameters


@pytest.mark.parametrize(
    "variant,frames,side,channels",
    [("r50", 4, 4, 512), ("c3d-light", 8, 4, 256), ("x3d-shallow", 8, 2, 216)],
)
def test_features_of_small_maps(variant, frames, side, channels):
    net, made, maps = variables(variant)
    inner = {name: made[name]["backbone"] for name in made}
    out = jax.eval_shape(lambda v, x: net.backbone.apply(v, heatmap=x, train=False), inner, maps)
    assert out.shape == (2, frames, side, side, channels)
    assert net.backbone.stride == 32 // side


def test_time_strides_of_the_pose_pathway_of_rgbpose():
    net, made, maps = variables("r50", time_strides=(1, 1, 1))
    inner = {name: made[name]["backbone"] for name in made}
    out = jax.eval_shape(lambda v, x: net.backbone.apply(v, heatmap=x, train=False), inner, maps)
    assert out.shape[1] == 8


def test_shallow_blocks_have_no_gates():
    _, made, _ = variables("x3d-shallow")
    paths = map(str, jax.tree.leaves_with_path(made["params"]))
    assert not any("gates" in path for path in paths)
