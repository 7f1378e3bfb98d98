"""I3D: which blocks are inflated, where frames are lost, and its start from an image network."""

import jax
import numpy as np
import pytest

from jaxvid.models import i3d, tsn
from jaxvid.weights.convert import convert
from tests.models.test_resnets import build, draw, exported, trace


@pytest.mark.parametrize(
    "heavy,want",
    [
        (False, ([1, 1, 1], [1, 0, 1, 0], [1, 0, 1, 0, 1, 0], [0, 1, 0])),
        (True, ([1] * 3, [1] * 4, [1] * 6, [1] * 3)),
    ],
)
def test_kernels_span_three_frames_in_the_published_blocks(heavy, want):
    params = trace(i3d.build("r50", num_classes=5, heavy=heavy), 1, 16, 32, 32, 3)["params"]
    found = [[0] * len(stage) for stage in want]
    for stage, blocks in enumerate(want):
        for i in range(len(blocks)):
            block = params["backbone"][f"layer{stage + 1}_{i}"]
            times = [block[f"conv{n}"]["conv"]["kernel"].shape[0] for n in (1, 2, 3)]
            assert times in ([3, 1, 1], [1, 1, 1])
            found[stage][i] = int(times[0] == 3)
    assert tuple(found) == want
    assert params["backbone"]["conv1"]["conv"]["kernel"].shape == (5, 7, 7, 3, 64)


@pytest.mark.parametrize("heavy,frames", [(False, (8, 4)), (True, (32, 16))])
def test_stem_and_pooling_lose_frames(heavy, frames):
    net = i3d.backbone("test", heavy=heavy)

    def both(x):
        (out, variables) = net.init_with_output(jax.random.key(0), x, train=False)
        return net.apply(variables, x, False, method="first"), out

    stem, out = jax.eval_shape(both, jax.ShapeDtypeStruct((1, 32, 32, 32, 3), "float32"))
    assert (stem.shape[1], out.shape[1]) == frames


def test_non_local_layers_follow_every_second_block_of_the_middle_stages():
    net = i3d.build("r50", num_classes=5, non_local="gaussian")
    names, _ = exported(net, trace(net, 1, 16, 32, 32, 3), i3d.WEIGHTS["mmaction"])
    blocks = {name.split(".non_local_block")[0] for name in names if "non_local_block.g" in name}
    assert blocks == {f"backbone.layer{s}.{i}" for s, i in ((2, 1), (2, 3), (3, 1), (3, 3), (3, 5))}


@pytest.mark.long
def test_a_constant_clip_gives_the_features_of_its_frame():
    """Zero padding in time changes the ends of the clip and nothing else."""
    image, video = build("tsn"), build("i3d", heavy=True)
    tensors, of_image = exported(image, trace(image, 1, 1, 32, 32, 3), tsn.WEIGHTS["torchvision"])
    shapes = trace(video, 1, 16, 32, 32, 3)
    of_video, _ = convert(tensors, shapes, i3d.WEIGHTS["torchvision"], net=video)

    def features(net, variables, x):
        own = {k: v["backbone"] for k, v in variables.items()}
        return np.asarray(jax.jit(lambda x: net.backbone.apply(own, x, train=False))(x))

    frame = draw(1, 1, 32, 32, 3)
    want = features(image, of_image, frame)
    got = features(video, of_video, np.repeat(frame, 16, 1))
    gap = np.abs(got - want).max((0, 2, 3, 4)) / np.abs(want).max()
    assert got.shape[1] == 8
    assert gap[3:5].max() < 2e-5 < 1e-3 < min(gap[0], gap[-1])
