"""TIN: channels move by fractions of frames, and what the network starts from."""

import jax
import numpy as np
import pytest

from jaxvid.errors import UserError
from jaxvid.models import tin, tsm
from jaxvid.ops import frames
from jaxvid.weights.convert import convert
from tests.conftest import fill
from tests.models.test_resnets import build, draw, exported, trace


@pytest.mark.parametrize(
    "offset,want",
    [
        (1.0, [0, 1, 2, 3, 4]),
        (-2.0, [3, 4, 5, 0, 0]),
        (0.25, [0.75, 1.75, 2.75, 3.75, 4.75]),
        (-1.5, [2.5, 3.5, 4.5, 2.5, 0]),
        (0.0, [1, 2, 3, 4, 5]),
    ],
)
def test_a_group_moves_by_a_fraction_of_frames(offset, want):
    x = np.arange(1, 6, dtype=np.float32).reshape(1, 5, 1, 1, 1)
    kernel = tin.shifts(np.full((1, 1), offset, np.float32))
    np.testing.assert_allclose(frames.convolve(x, kernel).ravel(), want, rtol=1e-6)


def test_groups_move_both_ways_and_the_other_channels_stay():
    module, x = tin.Interlace(), draw(2, 4, 3, 3, 32)
    variables = fill(jax.eval_shape(lambda x: module.init(jax.random.key(0), x), x))
    params = variables["params"]
    params["fc2"]["kernel"][:] = 0  # distances then follow from the biases alone
    params["fc2"]["bias"] = -np.log(4 / (np.float32([1, 2 / 3]) + 2) - 1)
    params["weight"]["kernel"][:] = 0
    params["weight"]["bias"] = np.float32([0, 0.5])
    got = np.asarray(module.apply(variables, x))
    np.testing.assert_array_equal(got[..., 8:], x[..., 8:])
    weights = 2 / (1 + np.exp(-np.float32([0, 0.5, 0, 0.5])))
    padded = np.pad(x[..., :8], ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
    here, before, after = padded[:, 1:-1], padded[:, :-2], padded[:, 2:]
    part = np.float32(2 / 3)
    moved = (before, part * before + (1 - part) * here, after, part * after + (1 - part) * here)
    for group, want in enumerate(moved):
        channels = slice(2 * group, 2 * group + 2)
        want = want[..., channels] * weights[group]
        np.testing.assert_allclose(got[..., channels], want, rtol=1e-4, atol=1e-5)


def test_it_starts_from_a_tsm_with_its_head():
    source, net = build("tsm", width=16, shift=4), build("tin")
    tensors, variables = exported(source, trace(source, 1, 4, 32, 32, 3), tsm.WEIGHTS["mmaction"])
    shapes, skip = trace(net, 1, 4, 32, 32, 3), (".*/interlace/.*",)
    loaded, _ = convert(tensors, shapes, tin.WEIGHTS["tsm"], skip=skip, net=net)
    for path in (("backbone", "layer2_0", "conv1", "conv", "kernel"), ("head", "fc", "bias")):
        ours, theirs = loaded["params"], variables["params"]
        for key in path:
            ours, theirs = ours[key], theirs[key]
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("options,message", [({}, "frames=4"), (dict(width=8), "multiple of 16")])
def test_what_does_not_fit_is_an_error_that_names_the_key(options, message):
    with pytest.raises(UserError, match=message):
        trace(build("tin", **options), 1, 5 if not options else 4, 32, 32, 3)
