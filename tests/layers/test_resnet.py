"""Residual networks against PyTorch's functions, and networks that a family derives from them."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.layers import resnet
from jaxvid.layers.conv import Conv, ConvNorm
from jaxvid.weights.convert import Weights, export
from jaxvid.weights.names.resnet import TORCHVISION
from tests.conftest import fill

pytestmark = pytest.mark.long

TINY: dict[str, Any] = dict(depths=(2, 1), width=4)
VIDEO = np.random.default_rng(1).standard_normal((2, 4, 16, 24, 3)).astype(np.float32)


def build(**options: Any):
    """Network and filled variables."""
    net = resnet.ResNet(**{**TINY, **options})
    return net, fill(trace(net)[1])


def trace(net):
    """Shapes of output and variables."""
    return jax.eval_shape(lambda x: net.init_with_output(jax.random.key(0), x, train=False), VIDEO)


def run(net, variables, video=VIDEO):
    return jax.jit(lambda v, x: net.apply(v, x, train=False))(variables, video)


# Against PyTorch


def torch_resnet(state, x):
    """The features of frames (n, c, h, w) by a ResNet's `state_dict` (He et al., 2015)."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch's functions")
    f = torch.nn.functional
    state = {name: torch.from_numpy(tensor) for name, tensor in state.items()}

    def conv_norm(x, conv, bn, stride=1):
        kernel = state[f"{conv}.weight"]
        x = f.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        mean, var = state[f"{bn}.running_mean"], state[f"{bn}.running_var"]
        return f.batch_norm(x, mean, var, state[f"{bn}.weight"], state[f"{bn}.bias"])

    x = f.relu(conv_norm(torch.from_numpy(x), "conv1", "bn1", 2))
    x = f.max_pool2d(x, 3, 2, 1)
    for block in sorted({".".join(n.split(".")[:2]) for n in state if n.startswith("layer")}):
        convs = [i for i in (1, 2, 3) if f"{block}.conv{i}.weight" in state]
        # From the second stage on the first block halves the frame, in its first 3 x 3.
        halves = block.endswith(".0") and not block.startswith("layer1.")
        y = x
        for i in convs:
            stride = 2 if halves and i == len(convs) - 1 else 1
            y = conv_norm(y, f"{block}.conv{i}", f"{block}.bn{i}", stride)
            y = y if i == convs[-1] else f.relu(y)
        if f"{block}.downsample.0.weight" in state:
            x = conv_norm(x, f"{block}.downsample.0", f"{block}.downsample.1", 2 if halves else 1)
        x = f.relu(x + y)
    return x.numpy()


@pytest.mark.parametrize("bottleneck", [True, False])
def test_frames_are_those_of_an_image_network(bottleneck):
    net, variables = build(depths=(2, 1, 2), bottleneck=bottleneck)
    table = Weights(tuple((t, o.removeprefix("backbone/")) for t, o in TORCHVISION))
    frames = VIDEO.reshape(-1, *VIDEO.shape[2:])
    want = torch_resnet(export(variables, table), frames.transpose(0, 3, 1, 2))
    got = run(net, variables)
    assert got.shape == (2, 4, 1, 2, 16 * (4 if bottleneck else 1))
    got = got.reshape(-1, *got.shape[2:]).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


# What a family overrides


class Wide(resnet.Block):
    """Its second convolution is a depthwise one."""

    def conv(self, i, x, train):
        if i != 1:
            return super().conv(i, x, train)
        kernel, strides = self.kernels[i], self.strides
        return Conv(x.shape[-1], kernel, strides, groups=x.shape[-1], name="depthwise")(x)


class Family(resnet.ResNet):
    """Depthwise blocks after the first stage, which halve the clip; scaled on the way."""

    @nn.nowrap
    def stem_conv(self):
        return ConvNorm(self.width, (3, 3, 3), (2, 1, 1))

    def first(self, video, train):
        return self.conv1(video, train=train)

    def enter(self, stage, x):
        return 2 * x if stage else x

    @nn.nowrap
    def block(self, stage, i, kind=resnet.Block, **fields):
        if not stage:
            return super().block(stage, i, kind, **fields)
        return super().block(stage, i, Wide, strides=(2, 2, 2) if i == 0 else (1, 1, 1), **fields)


@pytest.mark.parametrize("remat", [False, True])
def test_a_family_overrides_stem_blocks_and_what_precedes_a_stage(remat):
    net = Family(depths=(1, 2), width=4, stem=(1, 7, 7), remat=remat)
    out, shapes = trace(net)
    assert out.shape == (2, 1, 8, 12, 32)
    assert shapes["params"]["conv1"]["conv"]["kernel"].shape == (3, 3, 3, 3, 4)
    assert shapes["params"].keys() == {"conv1", "layer1_0", "layer2_0", "layer2_1"}
    assert shapes["params"]["layer1_0"].keys() == {"conv1", "conv2", "conv3", "downsample"}
    assert shapes["params"]["layer2_1"].keys() == {"conv1", "depthwise", "conv3"}
    variables = fill(shapes)
    blocks = [net.block(s, i) for s, i in ((0, 0), (1, 0), (1, 1))]

    @jax.jit
    def parts(x):
        own = [{k: v[name] for k, v in variables.items()} for name in shapes["params"]]
        x = net.stem_conv().apply(own[0], x, train=False)
        x = 2 * blocks[0].apply(own[1], x, False)
        return blocks[2].apply(own[3], blocks[1].apply(own[2], x, False), False)

    np.testing.assert_allclose(run(net, variables), parts(VIDEO), rtol=1e-4, atol=1e-5)


# Options


@pytest.mark.parametrize("bottleneck,last", [(True, "conv3"), (False, "conv2")])
@pytest.mark.parametrize("zero_init", [False, True])
def test_zero_init_starts_the_last_norm_of_each_branch_at_zero(bottleneck, last, zero_init):
    net = resnet.ResNet(**TINY, bottleneck=bottleneck, zero_init=zero_init)

    @jax.jit
    def scales(x):
        params = net.init(jax.random.key(0), x, train=False)["params"]
        return {
            "/".join(k.key for k in path): leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(params)
            if path[-1].key == "scale"
        }

    for path, scale in scales(VIDEO).items():
        zero = zero_init and path.endswith(f"{last}/bn/scale")
        np.testing.assert_array_equal(scale, 0 if zero else 1, path)


@pytest.mark.parametrize(
    "bottleneck,kernels",
    [
        (True, {"conv1": (3, 1, 1), "conv2": (1, 3, 3), "conv3": (1, 1, 1)}),
        (False, {"conv1": (3, 3, 3), "conv2": (1, 3, 3)}),
    ],
)
def test_kernels_in_time_are_those_of_the_first_convolutions(bottleneck, kernels):
    _, variables = build(stem=(5, 7, 7), time=(1, 3), bottleneck=bottleneck)
    params = variables["params"]
    assert params["conv1"]["conv"]["kernel"].shape[:3] == (5, 7, 7)
    for block, time in (("layer1_0", 1), ("layer1_1", 1), ("layer2_0", 3)):
        found = {name: conv["conv"]["kernel"].shape[:3] for name, conv in params[block].items()}
        assert found.pop("downsample", (1, 1, 1)) == (1, 1, 1)
        assert found == kernels | {"conv1": (time, *kernels["conv1"][1:])}
    assert "downsample" in params["layer2_0"]


@pytest.mark.parametrize("stem", [(7, 7), (3, 7, 7)])
def test_strides_shrink_the_frame_and_never_the_clip(stem):
    net = resnet.ResNet(depths=(1, 1, 1), width=4, stem=stem, strides=(2, 2, 1))
    assert trace(net)[0].shape == (2, 4, 1, 2, 64)


def test_remat_is_exact():
    """Gradients and running statistics, which are updated once."""

    def step(net, variables):
        def loss(params, video):
            every = variables | {"params": params}
            y, new = net.apply(every, video, train=True, mutable=["batch_stats"])
            return jnp.square(y).mean(), new["batch_stats"]

        return jax.jit(jax.grad(loss, has_aux=True))(variables["params"], VIDEO)

    (plain, variables), (net, _) = build(depths=(1,)), build(depths=(1,), remat=True)
    want, got = step(plain, variables), step(net, variables)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, want)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), got[1], variables["batch_stats"])
    assert min(jax.tree.leaves(moved)) > 0


def train(net, variables):
    """video -> output and running statistics of a step."""
    return jax.jit(lambda x: net.apply(variables, x, train=True, mutable=["batch_stats"]))


@pytest.mark.parametrize("groups", [1, 2])
def test_groups_reach_every_norm(groups):
    """In groups of one clip, clips do not change each other."""
    forward = train(*build(depths=(1, 1), bn_groups=groups))
    (a, _), (b, _) = forward(VIDEO), forward(np.stack([VIDEO[0], VIDEO[1] ** 2]))
    assert (np.abs(a - b)[0].max() > 1e-3) == (groups == 1)
    assert np.abs(a - b)[1].max() > 1e-3


def test_frozen_norms_train_as_they_evaluate():
    net, variables = build(depths=(1, 1), bn_frozen=True)
    y, new = train(net, variables)(VIDEO)
    np.testing.assert_allclose(y, run(net, variables), rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, new["batch_stats"], variables["batch_stats"])
