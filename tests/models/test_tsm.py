"""TSM: frames have an order, TSN is what it is without the shift, and names of what is wrapped."""

import jax
import numpy as np
import pytest

from jaxvid.ckpt.convert import convert, export
from jaxvid.models import tsm, tsn
from tests.conftest import fill
from tests.models.test_resnets import build, draw, example, exported, trace


def test_frames_have_an_order():
    this = example("tsm")
    want = this.forward(this.variables, this.video)
    got = this.forward(this.variables, this.video[:, ::-1])
    assert np.abs(got - want).max() > 1e-3


@pytest.mark.parametrize("start", ["tsn", "torchvision"])
def test_without_the_shift_it_is_the_network_it_starts_from(start):
    frames = example("tsn")
    tensors = export(frames.variables, tsn.WEIGHTS["mmaction" if start == "tsn" else start])
    this = example("tsm", shift=0)
    loaded, coverage = convert(
        tensors, trace(this.net, *this.video.shape), tsm.WEIGHTS[start], net=this.net
    )
    assert coverage.adapted == ()
    got = this.forward(loaded, frames.video)
    want = frames.forward(frames.variables, frames.video)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_every_shifted_block_reaches_one_frame_further():
    this = example("tsm")  # its two last blocks shift: the first has too few channels
    net = this.net.backbone
    own = {k: v["backbone"] for k, v in this.variables.items()}
    features = jax.jit(lambda x: net.apply(own, x, train=False))
    video = draw(1, 6, 32, 32, 3)
    other = video.copy()
    other[:, 0] = 0
    gap = np.abs(features(other) - features(video)).max((0, 2, 3, 4))
    assert (gap > 1e-4).tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize("pool_time", [None, (3, 2, 1)])
@pytest.mark.parametrize("non_local", ["", "embedded_gaussian"])
def test_what_is_added_wraps_what_was_there(non_local, pool_time):
    net = build("tsm", non_local=non_local, non_local_blocks=((), (1,)), pool_time=pool_time)
    tensors, variables = exported(net, trace(net, 1, 4, 32, 32, 3), tsm.WEIGHTS["mmaction"])
    stage = "backbone.layer2.net" if pool_time else "backbone.layer2"
    block = ".block" if non_local else ""
    want = {
        "backbone.conv1.conv.weight",
        "backbone.layer1.0.conv1.conv.net.weight",
        "backbone.layer1.0.conv1.bn.running_mean",
        f"{stage}.0.conv1.conv.net.weight",
        f"{stage}.0.conv2.conv.weight",
        f"{stage}.0.downsample.conv.weight",
        f"{stage}.1{block}.conv1.conv.net.weight",
        f"{stage}.1{block}.conv1.bn.weight",
        f"{stage}.1{block}.conv3.bn.bias",
        "cls_head.fc_cls.bias",
    }
    if non_local:
        own = ("g.0.conv.bias", "theta.conv.weight", "phi.0.conv.weight", "conv_out.bn.running_var")
        want |= {f"{stage}.1.non_local_block.{name}" for name in own}
    assert want <= tensors.keys()
    assert sum("non_local" in name for name in tensors) == (11 if non_local else 0)
    back, _ = convert(tensors, variables, tsm.WEIGHTS["mmaction"], net=net)
    jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_deep_networks_wrap_every_second_block():
    net = build("tsm", depths=(1, 2, 23, 1), width=1)
    shapes = trace(net, 1, 4, 32, 32, 3)
    names = export(fill(shapes), tsm.WEIGHTS["mmaction"], net)
    wrapped = {name.split(".conv1")[0] for name in names if name.endswith("conv1.conv.net.weight")}
    blocks = {1: [0], 2: [0], 3: range(0, 23, 2), 4: [0]}
    assert wrapped == {f"backbone.layer{s}.{b}" for s, many in blocks.items() for b in many}


def test_the_head_averages_scores_of_frames():
    """With half as many frames after pooling over time, it averages these."""
    this = example("tsm", pool_time=(3, 2, 1))
    own = {k: v["backbone"] for k, v in this.variables.items()}
    features = jax.jit(lambda x: this.net.backbone.apply(own, x, train=False))(this.video)
    assert features.shape[:2] == (2, 2)
    head = this.variables["params"]["head"]["fc"]
    scores = np.asarray(features).mean((2, 3)) @ head["kernel"] + head["bias"]
    got = this.forward(this.variables, this.video)
    np.testing.assert_allclose(got, scores.mean(1), rtol=1e-5, atol=1e-5)
