"""C3D: which axes its pooling halves, and the published order of the features of a map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.models import c3d
from tests.models.test_resnets import build, example, exported, trace


def test_sizes_are_those_of_published_clips():
    """Time is not halved by the first pooling, and the last one pads 7 rows to 8."""
    net = c3d.build("base", num_classes=101)
    params = trace(net, 1, 16, 112, 112, 3)["params"]
    assert params["backbone"]["fc6"]["kernel"].shape == (512 * 1 * 4 * 4, 4096)
    assert sum(x.size for x in jax.tree.leaves(params)) == 78_409_573


@pytest.mark.parametrize("frames,size,rows", [(8, 32, 2 * 25), (16, 32, 4 * 25), (8, 64, 2 * 81)])
def test_a_map_is_as_large_as_its_pooling_leaves_it(frames, size, rows):
    params = trace(build("c3d"), 1, frames, size, size, 3)["params"]["backbone"]
    assert params["fc6"]["kernel"].shape == (8 * rows, 16)


def test_names_are_the_published_ones():
    net = build("c3d")
    names, _ = exported(net, trace(net, 1, 8, 32, 32, 3), c3d.WEIGHTS["mmaction"])
    convs = ("conv1a", "conv2a", "conv3a", "conv3b")
    layers = [*(f"{name}.conv" for name in convs), "fc6", "fc7"]
    want = [f"backbone.{name}.{leaf}" for name in layers for leaf in ("weight", "bias")]
    assert list(names) == [*want, "cls_head.fc_cls.weight", "cls_head.fc_cls.bias"]


@pytest.mark.long
def test_linear_layers_see_channels_before_time_and_space():
    this = example("c3d")
    out, seen = jax.jit(
        lambda v, x: this.net.apply(
            v, x, train=False, mutable=["intermediates"], capture_intermediates=True
        )
    )(this.variables, this.video)
    backbone = seen["intermediates"]["backbone"]
    features = np.moveaxis(backbone["conv3"]["__call__"][0], -1, 1).reshape(2, -1)
    params = this.variables["params"]
    for name in ("fc6", "fc7"):
        layer = params["backbone"][name]
        features = np.maximum(features @ layer["kernel"] + layer["bias"], 0)
    want = features @ params["head"]["fc"]["kernel"] + params["head"]["fc"]["bias"]
    np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-4)


@pytest.mark.long
def test_dropout_acts_between_the_linear_layers_too():
    this = example("c3d")
    net = build("c3d", dropout=0.9)

    @jax.jit
    def features(video):
        own = {"params": this.variables["params"]["backbone"]}
        rngs = {"dropout": jax.random.key(0)}
        return net.backbone.apply(own, video, train=True, rngs=rngs)

    once, again = features(jnp.concatenate([this.video[:1]] * 2))
    assert np.abs(once - again).max() > 1e-3
