"""R(2+1)D: what each half of a convolution spans, its channels, and the published epsilons."""

import flax.linen as nn
import jax
import pytest

from jaxvid.models import r2plus1d
from tests.models.test_resnets import build, exported, trace


@pytest.mark.parametrize(
    "channels,features,kernel,want",
    [(3, 64, 7, 83), (64, 64, 3, 144), (64, 128, 3, 230), (128, 128, 3, 288), (64, 128, 1, 54)],
)
def test_channels_between_the_halves_are_the_published_ones(channels, features, kernel, want):
    assert r2plus1d.middle(channels, features, kernel, kernel) == want


def test_one_half_spans_space_and_the_other_time():
    params = trace(build("r2plus1d"), 1, 4, 32, 32, 3)["params"]["backbone"]
    sizes = {
        name: [unit[half]["conv"]["kernel"].shape[:3] for half in ("space", "time")]
        for name, unit in {"stem": params["conv1"], **params["layer2_0"]}.items()
    }
    halves = [(1, 3, 3), (3, 1, 1)]
    points = [(1, 1, 1)] * 2
    assert sizes.pop("stem") == [(1, 7, 7), (3, 1, 1)]
    assert sizes == {"conv1": halves, "conv2": halves, "downsample": points}


@pytest.mark.parametrize("frames,left", [(8, 1), (32, 4), (9, 2)])
def test_stages_halve_frames_as_pixels(frames, left):
    net = r2plus1d.backbone("r18", width=2)
    video = jax.ShapeDtypeStruct((1, frames, 64, 64, 3), "float32")
    out, _ = jax.eval_shape(
        lambda x: net.init_with_output(jax.random.key(0), x, train=False), video
    )
    assert out.shape == (1, left, 2, 2, 16)


def test_the_inner_normalization_has_another_epsilon():
    seen = {}

    def note(next_call, args, kwargs, context):
        if type(context.module).__name__ == "BatchNorm":
            seen["/".join(context.module.path[-3:])] = context.module.epsilon
        return next_call(*args, **kwargs)

    with nn.intercept_methods(note):
        trace(build("r2plus1d"), 1, 4, 32, 32, 3)
    assert {path.split("/")[1] for path in seen} == {"space", "time"}
    assert all(value == (1e-5 if "/space/" in path else 1e-3) for path, value in seen.items())


def test_names_are_the_published_ones():
    net = build("r2plus1d")
    names, _ = exported(net, trace(net, 1, 4, 32, 32, 3), r2plus1d.WEIGHTS["mmaction"])
    unit = [n for n in names if n.startswith("backbone.layer2.0.downsample.")]
    norm = ("weight", "bias", "running_mean", "running_var")
    assert [n.removeprefix("backbone.layer2.0.downsample.") for n in unit] == [
        "conv.conv_s.weight",
        *(f"conv.bn_s.{leaf}" for leaf in norm),
        "conv.conv_t.weight",
        *(f"bn.{leaf}" for leaf in norm),
    ]
