"""CSN: which convolutions are depthwise, where frames are lost, and names of its blocks."""

import flax.linen as nn
import jax
import pytest

from jaxvid.models import csn
from jaxvid.weights.convert import convert
from tests.models.test_resnets import build, exported, trace


@pytest.mark.parametrize("kind,pointwise", [("ip", True), ("ir", False)])
def test_three_frames_are_seen_by_depthwise_convolutions_alone(kind, pointwise):
    params = trace(build("csn", kind=kind), 1, 4, 32, 32, 3)["params"]["backbone"]
    block = params["layer2_0"]
    shapes = {name: unit["conv"]["kernel"].shape for name, unit in block.items()}
    assert shapes.pop("conv2_pointwise", None) == ((1, 1, 1, 8, 8) if pointwise else None)
    assert shapes == {
        "conv1": (1, 1, 1, 16, 8),
        "conv2": (3, 3, 3, 1, 8),
        "conv3": (1, 1, 1, 8, 32),
        "downsample": (1, 1, 1, 16, 32),
    }
    assert params["conv1"]["conv"]["kernel"].shape == (3, 7, 7, 3, 4)


@pytest.mark.parametrize("frames,left", [(32, 4), (8, 1), (9, 2)])
def test_stages_halve_frames_as_pixels(frames, left):
    net = csn.backbone("ir50", width=2)
    video = jax.ShapeDtypeStruct((1, frames, 64, 64, 3), "float32")
    out, _ = jax.eval_shape(
        lambda x: net.init_with_output(jax.random.key(0), x, train=False), video
    )
    assert out.shape == (1, left, 2, 2, 64)


def test_every_normalization_has_the_published_epsilon():
    seen = set()

    def note(call, args, kwargs, context):
        if type(context.module).__name__ == "BatchNorm":
            seen.add(context.module.epsilon)
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        trace(build("csn"), 1, 4, 32, 32, 3)
    assert seen == {1e-3}


@pytest.mark.parametrize("kind,depthwise", [("ip", "conv2.1"), ("ir", "conv2.0")])
def test_names_count_the_convolutions_of_a_block(kind, depthwise):
    net = build("csn", kind=kind)
    shapes = trace(net, 1, 4, 32, 32, 3)
    table = csn.WEIGHTS["mmaction"]
    tensors, variables = exported(net, shapes, table)
    block = "backbone.layer2.1"
    assert tensors[f"{block}.{depthwise}.conv.weight"].shape == (8, 1, 3, 3, 3)
    units = {name.split(".conv.")[0] for name in tensors if name.startswith(f"{block}.conv2")}
    units = {unit.split(".bn.")[0] for unit in units}
    assert units == {f"{block}.conv2.{n}" for n in range(2 if kind == "ip" else 1)}
    back, _ = convert(tensors, shapes, table, net=net)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), back, variables))
