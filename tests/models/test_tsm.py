"""TSM: frames have an order, TSN is what it is without the shift, and names of what is wrapped."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.layers import resnet
from jaxvid.models import tsm, tsn
from jaxvid.weights.convert import convert, export
from tests.conftest import fill
from tests.models.test_resnets import build, draw, example, exported, trace


@pytest.mark.parametrize("channels,share", [(8, 8), (17, 8), (7, 8), (12, 4), (6, 2)])
def test_shift_shows_neighbors(channels, share):
    x = np.random.default_rng(0).standard_normal((2, 4, 3, 2, channels)).astype(np.float32)
    want = np.zeros_like(x)
    fold = channels // share
    for t in range(4):
        for c in range(channels):
            source = t + 1 if c < fold else t - 1 if c < 2 * fold else t
            if 0 <= source < 4:
                want[:, t, ..., c] = x[:, source, ..., c]
    np.testing.assert_array_equal(tsm.shift_channels(jnp.asarray(x), share), want)


def test_a_span_of_frames_has_its_own_ends():
    x = draw(2, 6, 2, 2, 8)
    got = tsm.shift_channels(jnp.asarray(x), 8, span=3)
    parts = [tsm.shift_channels(jnp.asarray(x[:, i : i + 3]), 8) for i in (0, 3)]
    np.testing.assert_array_equal(got, jnp.concatenate(parts, 1))
    with pytest.raises(UserError, match=r"config.model.span=4 does not divide clips of 6 frames"):
        tsm.shift_channels(jnp.asarray(x), 8, span=4)


@pytest.mark.parametrize(
    "depths,shift,want",
    [
        ((3, 4, 6, 3), 8, [3, 4, 6, 3]),
        ((3, 4, 22, 3), 8, [3, 4, 22, 3]),
        ((3, 4, 23, 3), 8, [2, 2, 12, 2]),  # blocks 0, 2, 4 ...
        ((3, 8, 36, 3), 8, [2, 4, 18, 2]),
        ((3, 4), 8, [3, 4]),
        ((3, 4, 6, 3), 0, [0, 0, 0, 0]),
    ],
)
def test_deep_networks_shift_in_every_second_block(depths, shift, want):
    net = tsm.TSM(depths, shift=shift)
    shifted = [[net.shifted(s, b) for b in range(depth)] for s, depth in enumerate(depths)]
    assert [sum(stage) for stage in shifted] == want
    for stage in shifted:
        assert not any(stage) or stage[0]
        assert all(stage) or not any(a and b for a, b in itertools.pairwise(stage))


@pytest.mark.parametrize("bottleneck,last", [(True, "conv3"), (False, "conv2")])
def test_the_branch_sees_the_shift_and_the_shortcut_does_not(bottleneck, last):
    options: dict[str, Any] = dict(depths=(2,), width=8, bottleneck=bottleneck)
    shifted = tsm.TSM(**options).block(0, 1)
    plain = resnet.ResNet(**options).block(0, 1)
    x = np.random.default_rng(0).standard_normal((1, 3, 4, 4, 32 if bottleneck else 8))
    x = x.astype(np.float32)
    variables = fill(jax.eval_shape(lambda x: plain.init(jax.random.key(0), x, False), x))
    variables["params"][last]["bn"]["bias"] += 50  # the sum is positive: the ReLU keeps it
    moved = tsm.shift_channels(jnp.asarray(x), 8)
    branch = jax.jit(lambda x: plain.apply(variables, x, False))(moved) - moved
    got = jax.jit(lambda x: shifted.apply(variables, x, False))(x)
    np.testing.assert_allclose(got, x + branch, rtol=1e-5, atol=1e-4)


def test_pooling_over_time_precedes_the_second_stage():
    this, plain = example("tsm", pool_time=(3, 2, 1)), example("tsm")
    own = {k: v["backbone"] for k, v in this.variables.items()}

    def stage(s, x) -> Any:
        return plain.net.backbone.apply(own, s, x, False, method="stage")

    @jax.jit
    def parts(x):
        x = stage(0, plain.net.backbone.apply(own, x, False, method="first"))  # (b, 4, h, w, c)
        pads = ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0))
        x = jnp.pad(x, pads, constant_values=-jnp.inf)
        return stage(1, jnp.stack([x[:, t : t + 3].max(1) for t in (0, 2)], 1))

    got = jax.jit(lambda x: this.net.backbone.apply(own, x, train=False))(this.video)
    np.testing.assert_allclose(got, parts(this.video), rtol=1e-5, atol=1e-5)


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
