"""X3D: what its blocks do between their convolutions, and that time is never reduced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.layers.conv import SqueezeExcite
from jaxvid.models import x3d
from tests.conftest import fill
from tests.models.test_resnets import build, draw, exported, trace


@pytest.mark.parametrize("width,want", [(3.4, 8), (6.75, 8), (13.5, 16), (27, 32), (20, 24)])
def test_channels_of_gates_are_multiples_of_eight(width, want):
    assert x3d.rounded(width) == want


def test_every_second_block_has_gates():
    net = x3d.backbone("m")
    widths = [[net.block(s, i).squeeze for i in range(depth)] for s, depth in enumerate(net.depths)]
    assert [stage[:2] for stage in widths] == [[8, 0], [8, 0], [16, 0], [32, 0]]
    assert all(stage[i] == stage[i % 2] for stage in widths for i in range(len(stage)))


def test_gates_scale_whole_channels():
    net, x = SqueezeExcite(3), draw(2, 4, 5, 5, 6)
    variables = fill(jax.eval_shape(lambda x: net.init(jax.random.key(0), x), x))
    got = net.apply(variables, x) / x
    fc1, fc2 = (variables["params"][name] for name in ("fc1", "fc2"))
    hidden = np.maximum(x.mean((1, 2, 3)) @ fc1["kernel"][0, 0, 0] + fc1["bias"], 0)
    want = 1 / (1 + np.exp(-(hidden @ fc2["kernel"][0, 0, 0] + fc2["bias"])))
    np.testing.assert_allclose(got, np.broadcast_to(want[:, None, None, None], x.shape), rtol=1e-4)


def test_the_middle_convolution_keeps_channels_apart_and_ends_in_swish():
    block = x3d.backbone("test").block(0, 1)
    x = jnp.asarray(draw(1, 4, 6, 6, 8))
    variables = fill(jax.eval_shape(lambda x: block.init(jax.random.key(0), x, False), x))
    middle = variables["params"]["conv2"]
    assert middle["conv"]["kernel"].shape == (3, 3, 3, 1, 18)
    middle["conv"]["kernel"][:] = 0  # the branch is then a constant, given by the norm's bias
    statistics = variables["batch_stats"]["conv2"]["bn"]
    shift = middle["bn"]["bias"] - statistics["mean"] * middle["bn"]["scale"] / np.sqrt(
        statistics["var"] + 1e-5
    )
    y = shift / (1 + np.exp(-shift))
    last, kept = variables["params"]["conv3"], variables["batch_stats"]["conv3"]["bn"]
    y = (y @ last["conv"]["kernel"][0, 0, 0] - kept["mean"]) / np.sqrt(kept["var"] + 1e-5)
    want = np.maximum(x + y * last["bn"]["scale"] + last["bn"]["bias"], 0)
    np.testing.assert_allclose(block.apply(variables, x, False), want, rtol=1e-4, atol=1e-5)


def test_time_is_never_reduced():
    for variant in ("s", "l"):
        net = x3d.backbone(variant)
        video = jax.ShapeDtypeStruct((1, 5, 64, 96, 3), jnp.float32)
        out, _ = jax.eval_shape(
            lambda x, net=net: net.init_with_output(jax.random.key(0), x, train=False), video
        )
        assert out.shape == (1, 5, 64 // net.stride, 96 // net.stride, 432)
        assert net.stride == 32


def test_names_of_the_published_file():
    net = build("x3d")
    names, _ = exported(net, trace(net, 1, 4, 32, 32, 3), x3d.WEIGHTS["mmaction"])
    assert names["backbone.layer2.0.se_module.fc1.weight"].shape == (8, 36, 1, 1, 1)
    assert names["backbone.layer1.0.conv2.conv.weight"].shape == (18, 1, 3, 3, 3)
    assert {"backbone.conv1_s.conv.weight", "backbone.conv1_t.bn.running_var"} <= names.keys()
    assert {"backbone.conv5.bn.weight", "cls_head.fc1.weight", "cls_head.fc2.bias"} <= names.keys()
    assert not {"cls_head.fc1.bias", "backbone.layer2.1.se_module.fc1.weight"} & names.keys()
