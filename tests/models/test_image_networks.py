"""Networks of images as backbones: published sizes, and names of published files."""

import jax
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.models import densenet, swin2d
from jaxvid.weights.convert import convert, export
from tests.conftest import fill
from tests.models.test_mobileone import near_ones
from tests.models.test_resnets import draw, trace

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    "name,variant,count",
    [
        ("mobilenetv2", "w100", 3_504_872),
        ("resnext", "r50-32x4d", 25_028_904),
        ("resnext", "r101-32x4d", 44_177_704),
        ("densenet", "121", 7_978_856),
        ("densenet", "161", 28_681_000),
        ("densenet", "169", 14_149_480),
        ("densenet", "201", 20_013_928),
        ("swin2d", "tiny", 28_288_354),
        ("swin2d", "base", 87_768_224),
    ],
)
def test_classifiers_of_imagenet_have_the_published_size(name, variant, count):
    """Counts of torchvision and timm."""
    net = plug.load("models", dict(name=name, variant=variant), num_classes=1000)
    shapes = trace(net, 1, 1, 32, 32, 3)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


@pytest.mark.parametrize("family", ["mobilenetv2", "resnext", "densenet", "mobileone", "swin2d"])
def test_frames_are_treated_alike(family):
    net = plug.load("models", dict(name=family, variant="test"), "backbone")
    video = draw(1, 2, 32, 32, 3)
    variables = near_ones(trace(net, *video.shape))
    features = jax.jit(lambda x: net.apply(variables, x, train=False))
    got, other = features(video), features(video[:, ::-1])
    np.testing.assert_allclose(got, other[:, ::-1], rtol=1e-5, atol=1e-5)
    assert np.abs(got[:, 0] - got[:, 1]).max() > 1e-3


def test_merges_of_old_timm_files_move_to_the_next_stage():
    net = plug.load("models", dict(name="swin2d", variant="test"), num_classes=7)
    shapes = trace(net, 1, 1, 32, 32, 3)
    variables, table = fill(shapes), swin2d.WEIGHTS["mmaction"]
    new = export(variables, table, net)
    old = {name.replace("layers.1.downsample", "layers.0.downsample"): x for name, x in new.items()}
    assert new.keys() != old.keys()
    for tensors in (new, old):
        back, _ = convert(tensors, shapes, table, net=net)
        jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_densenets_of_published_files_have_dots_in_their_names():
    net = plug.load("models", dict(name="densenet", variant="test"), num_classes=7)
    tensors = export(fill(trace(net, 1, 1, 32, 32, 3)), densenet.WEIGHTS["torchvision_file"], net)
    assert "features.denseblock1.denselayer2.norm.1.running_mean" in tensors
    assert "features.denseblock2.denselayer1.conv.2.weight" in tensors
    assert "features.transition1.conv.weight" in tensors
