"""SlowOnly: on a clip that is constant in time it is the image network that it starts from."""

import jax
import numpy as np
import pytest

from jaxvid.models import slowonly, tsn
from jaxvid.weights.convert import convert
from tests.models.test_resnets import build, draw, exported, trace


@pytest.mark.parametrize(
    "options,reach",
    [
        ({}, 2),  # two blocks with kernels of 3 frames
        (dict(stem=(5, 7, 7)), 4),
        (dict(bottleneck=False), 2),
    ],
)
def test_a_constant_clip_gives_the_features_of_its_frame(options, reach):
    """Zero padding in time changes the ends of the clip and nothing else."""
    frames = 2 * reach + 3
    same = {k: v for k, v in options.items() if k != "stem"}
    image, video = build("tsn", **same), build("slowonly", **options)
    table = tsn.WEIGHTS["torchvision"]
    tensors, variables2d = exported(image, trace(image, 1, 1, 32, 32, 3), table)
    assert all(tensor.ndim != 5 for tensor in tensors.values())
    shapes = trace(video, 1, frames, 32, 32, 3)
    variables3d, coverage = convert(tensors, shapes, slowonly.WEIGHTS["torchvision"], net=video)
    assert coverage.tensors == coverage.leaves

    def features(net, variables, x):
        own = {k: v["backbone"] for k, v in variables.items()}
        return jax.jit(lambda x: net.backbone.apply(own, x, train=False))(x)

    frame = draw(1, 1, 32, 32, 3)
    want = features(image, variables2d, frame)
    got = features(video, variables3d, np.repeat(frame, frames, 1))
    scale = np.abs(want).max()
    gap = np.abs(got - want).max((0, 2, 3, 4)) / scale
    assert gap[reach : reach + 3].max() < 2e-5
    assert min(gap[0], gap[-1]) > 1e-3


def test_blocks_see_time_in_the_last_two_stages_only():
    for variant in ("r50", "r101"):
        net = slowonly.backbone(variant)
        assert (net.stem, net.time) == ((1, 7, 7), (1, 1, 3, 3))
        assert net.zero_init
