"""MobileNetV2: where frames meet in it, and TSN and TSM on it."""

import jax
import numpy as np
import pytest

from jaxvid import plug
from jaxvid.errors import UserError
from jaxvid.models import mobilenetv2
from jaxvid.weights import resolve
from jaxvid.weights.convert import convert, export
from tests.conftest import fill
from tests.models.test_resnets import draw, trace

BACKBONE = dict(name="mobilenetv2", variant="test")
TSM = dict(name="tsm", backbone=BACKBONE)
TSN = dict(name="tsn", backbone=BACKBONE)


def build(spec, **options):
    return plug.load("models", {**spec, **options}, num_classes=7)


def test_frames_meet_before_the_first_convolution_of_ten_blocks():
    """Those that expand and have a shortcut: all but the first of each stage from the second."""
    net = build(dict(name="tsm", backbone=dict(name="mobilenetv2", variant="w100")))
    rows = resolve.tables(TSM, net)["mmaction"].rows(net)
    wrapped = {torch for torch, _ in rows if torch.endswith(".net")}
    places = {2: [1], 3: [1, 2], 4: [1, 2, 3], 5: [1, 2], 6: [1, 2]}
    want = {f"backbone.layer{s}.{b}.conv.0.net" for s, blocks in places.items() for b in blocks}
    assert wrapped == want


@pytest.mark.long
def test_one_shifted_block_reaches_one_frame_further():
    net = build(TSM).backbone
    video = draw(1, 5, 32, 32, 3)
    variables = fill(trace(net, *video.shape))
    features = jax.jit(lambda x: net.apply(variables, x, train=False))
    other = video.copy()
    other[:, 0] = 0
    gap = np.abs(features(other) - features(video)).max((0, 2, 3, 4))
    assert (gap > 1e-5).tolist() == [True, True, False, False, False]


@pytest.mark.long
def test_without_the_shift_tsm_scores_as_tsn():
    one, other = build(TSM, shift=0), build(TSN)
    video = draw(2, 3, 32, 32, 3)
    variables = fill(trace(other, *video.shape))
    got, want = (
        jax.jit(lambda x, n=n: n.apply(variables, x, train=False))(video) for n in (one, other)
    )
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_an_image_classifier_is_a_start_for_tsm():
    """Its file has no names of wrapped layers, and a head for other classes."""
    image, net = build(BACKBONE), build(TSM)
    shapes = trace(net, 1, 2, 32, 32, 3)
    tensors = export(fill(shapes), mobilenetv2.WEIGHTS["mmpretrain"], image)
    assert not any(".net." in name for name in tensors)
    table = resolve.tables(TSM, net)["mmpretrain"]
    loaded, coverage = convert(tensors, shapes, table, skip=("head/.*",), net=net)
    assert coverage.tensors == coverage.leaves - 2
    kernel = loaded["params"]["backbone"]["layer2_1"]["conv0"]["conv"]["kernel"]
    np.testing.assert_array_equal(
        np.asarray(kernel)[0, 0].T, tensors["backbone.layer2.1.conv.0.conv.weight"][..., 0, 0]
    )


@pytest.mark.parametrize(
    "spec,message",
    [
        (dict(TSN, variant="r50"), 'models/tsn takes a "variant" or a "backbone", not both'),
        (dict(TSN, depths=(1,)), 'models/tsn takes no "depths"'),
        (dict(name="tsn"), 'models/tsn needs "variant"'),
        (dict(TSN, backbone=dict(name="timm.resnest50d")), "Known: actionclip, "),
        (dict(TSN, backbone=dict(name="timm.vgg16")), "Known: actionclip, "),
        (dict(TSM, backbone=dict(name="swin", variant="test")), "Swin has no place for the shift"),
    ],
)
def test_a_wrong_backbone_says_what_is_wrong(spec, message):
    with pytest.raises(UserError) as error:
        build(spec)
    assert message in str(error.value)


@pytest.mark.long
def test_tsn_on_slowfast_is_slowfast():
    """The head joins pathways in the published order, so that files fit."""
    spec = dict(name="slowfast", variant="test")
    video = draw(1, 16, 32, 32, 3)
    one, other = build(spec), build(dict(name="tsn", backbone=spec))
    variables = fill(trace(one, *video.shape))
    got, want = (
        jax.jit(lambda x, n=n: n.apply(variables, x, train=False))(video) for n in (other, one)
    )
    np.testing.assert_array_equal(got, want)
