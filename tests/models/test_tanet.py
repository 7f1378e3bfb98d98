"""TANet: kernels over time that follow from the clip, gates, and what the network starts from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.models import tanet, tsn
from jaxvid.ops import frames
from jaxvid.weights.convert import convert
from tests.conftest import fill
from tests.models.test_resnets import build, draw, exported, trace


def test_the_module_is_its_formula():
    module, x = tanet.TemporalAdaptive(), draw(2, 4, 3, 3, 8)
    variables = fill(jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), x))
    params, stats = variables["params"], variables["batch_stats"]

    def normalized(y, params, stats):
        y = (y - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
        return np.maximum(y * params["scale"] + params["bias"], 0)

    means = x.mean((2, 3))
    y = normalized(means.swapaxes(1, 2) @ params["fc1"]["kernel"], params["bn"], stats["bn"])
    y = np.exp(y @ params["fc2"]["kernel"])
    kernel = (y / y.sum(-1, keepdims=True)).swapaxes(1, 2)
    padded, taps = np.pad(means, ((0, 0), (1, 1), (0, 0))), params["gate1"]["conv"]["kernel"]
    y = sum(padded[:, i : i + 4] @ taps[i] for i in range(3))
    y = normalized(y, params["gate1"]["bn"], stats["gate1"]["bn"])
    gate = 1 / (1 + np.exp(-y @ params["gate2"]["kernel"][0]))
    want = frames.convolve(jnp.asarray(x * gate[:, :, None, None]), jnp.asarray(kernel))
    got = module.apply(variables, x, train=False)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_it_starts_from_an_image_network_and_leaves_its_modules():
    image, net = build("tsn", width=8), build("tanet")
    tensors, _ = exported(image, trace(image, 1, 1, 32, 32, 3), tsn.WEIGHTS["torchvision"])
    shapes = trace(net, 1, 4, 32, 32, 3)
    table, skip = tanet.WEIGHTS["torchvision"], (".*/tam/.*",)
    loaded, coverage = convert(tensors, shapes, table, skip=skip, net=net)
    assert coverage.tensors == len(tensors)
    kernel = loaded["params"]["backbone"]["layer2_1"]["conv1"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel[0, 0].T, tensors["layer2.1.conv1.weight"][:, :, 0, 0])


def test_another_number_of_frames_is_an_error_that_names_the_keys():
    net = tanet.backbone("test")
    with pytest.raises(UserError, match=r"model\.frames=4, but clips have 5.*recipe\.frames"):
        trace(net, 1, 5, 32, 32, 3)
    params = trace(tanet.backbone("test", frames=5), 1, 5, 32, 32, 3)["params"]
    assert params["layer1_0"]["tam"]["fc1"]["kernel"].shape == (5, 10)
