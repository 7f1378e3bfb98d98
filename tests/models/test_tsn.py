"""TSN: frames without an order, and inputs of other kinds."""

import jax
import numpy as np
import pytest

from jaxvid.models import tsn
from jaxvid.weights.convert import convert
from tests.models.test_resnets import build, draw, example, exported, trace


def test_frames_have_no_order():
    this = example("tsn")
    want = this.forward(this.variables, this.video)
    got = this.forward(this.variables, this.video[:, [2, 0, 1]])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_the_head_takes_the_mean_of_the_frames():
    this = example("tsn")
    body, head = this.net.backbone, this.variables["params"]["head"]["fc"]
    own = {k: v["backbone"] for k, v in this.variables.items()}
    one = jax.jit(lambda x: body.apply(own, x, train=False))
    features = [one(this.video[:, t : t + 1]).mean((1, 2, 3)) for t in range(3)]
    want = np.mean(features, 0) @ head["kernel"] + head["bias"]
    got = this.forward(this.variables, this.video)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["tsn", "slowonly"])
@pytest.mark.parametrize("channels", [2, 10])
def test_a_network_for_flow_starts_with_the_mean_over_colors(channels, family):
    """Published so for one flow frame (x, y) and for five that are stacked."""
    net2d = build("tsn")
    table = tsn.WEIGHTS["torchvision"]
    tensors, image = exported(net2d, trace(net2d, 1, 1, 32, 32, 3), table)
    net = build(family)
    flow, coverage = convert(tensors, trace(net, 1, 4, 32, 32, channels), table, net=net)
    got = flow["params"]["backbone"]["conv1"]["conv"]["kernel"]
    rgb = image["params"]["backbone"]["conv1"]["conv"]["kernel"]
    assert got.shape == (*((7, 7) if family == "tsn" else (1, 7, 7)), channels, 4)
    for c in range(channels):
        np.testing.assert_allclose(got[..., c, :].reshape(7, 7, 4), rgb.mean(-2), rtol=1e-6)
    assert "params/backbone/conv1/conv/kernel" in coverage.adapted
    if family == "tsn":
        assert len(coverage.adapted) == 1


def test_published_variants_differ_in_depth_alone():
    shapes = {v: tsn.backbone(v) for v in ("r18", "r34", "r50", "r101", "r152")}
    assert {v: (sum(net.depths), net.bottleneck) for v, net in shapes.items()} == {
        "r18": (8, False),
        "r34": (16, False),
        "r50": (16, True),
        "r101": (33, True),
        "r152": (50, True),
    }
    # Layers with parameters: two or three a block, the stem and the classifier.
    for variant, net in shapes.items():
        assert sum(net.depths) * (3 if net.bottleneck else 2) + 2 == int(variant[1:])
        assert len(net.depths) == 4


def test_any_number_of_frames():
    this = example("tsn")
    one = jax.eval_shape(this.forward, this.variables, draw(2, 1, 32, 32, 3))
    assert one.shape == (2, 5)
