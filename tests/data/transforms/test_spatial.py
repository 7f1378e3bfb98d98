"""Sizes, boxes and mirrors against the published cases, and what follows the picture."""

import random
from typing import Any

import cv2
import numpy as np
import pytest

from jaxvid.data.transforms import coordinates, spatial, video
from jaxvid.errors import UserError
from tests.conftest import LegacyGenerator, cases

RNG = np.random.default_rng(0)


def legacy(seed):
    rng = LegacyGenerator(seed or 0)
    rng.integers = rng.state.randint  # type: ignore[method-assign]
    return rng


def size(published):
    """(height, width) from (width, height)."""
    return published if isinstance(published, int) else tuple(published[::-1])


def xyxy(box):
    top, left, height, width = box
    return [left, top, left + width, top + height]


def clip(height, width, views=1, frames=1, channels=3):
    shape = (views, frames, height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def truths(given):
    """What is in a case besides the picture, by our names, as float32."""
    names = {"gt_bboxes": "boxes", "proposals": "proposals", "keypoint": "keypoint"}
    names |= {"keypoint_score": "keypoint_score"}
    return {ours: np.array(given[k], np.float32) for k, ours in names.items() if k in given}


def follows(sample, expected):
    for key, want in truths(expected).items():
        np.testing.assert_allclose(sample[key], want, rtol=1e-6)


# Sizes


@pytest.mark.parametrize("args,given,expected,seed", cases("Resize"))
def test_resize(args, given, expected, seed):
    scale = args["scale"]
    if isinstance(scale, list) and scale[0] == -1:
        resize = spatial.ResizeShort(scale[1])
    else:
        to = scale if isinstance(scale, float) else size(scale)
        resize = spatial.Resize(to, keep_ratio=args.get("keep_ratio", True))
    if "img" in given:
        image = (np.arange(6 * 8 * 3).reshape(6, 8, 3) * 1.7 % 256).astype(np.uint8)
        pixels = resize({"video": image[None, None]}, RNG)["video"][0, 0]
        rows = [pixels[4]] if "pixels_row4" in expected else pixels
        want = [expected["pixels_row4"]] if "pixels_row4" in expected else expected["pixels"]
        np.testing.assert_array_equal(rows, want)
    else:
        picture = clip(*given["img_shape"])
        out = resize({"video": picture} | truths(given), RNG)
        assert list(out["video"].shape[2:4]) == expected["img_shape"]
        follows(out, expected)


@pytest.mark.parametrize("args,given,expected,seed", cases("RandomRescale"))
def test_random_rescale(args, given, expected, seed):
    rescale = spatial.RandomRescale(*args["scale_range"])
    out = rescale({"video": clip(*given["img_shape"])}, legacy(seed))["video"]  # type: ignore[arg-type]
    assert list(out.shape[2:4]) == expected["img_shape"]
    drawn = {spatial.RandomRescale(5, 8).short_side(RNG) for _ in range(200)}
    assert drawn == {5, 6, 7, 8}


@pytest.mark.parametrize("name,flag", spatial.INTERPOLATIONS.items())
def test_interpolations_are_those_of_opencv(name, flag):
    picture = clip(20, 30, frames=2)
    for resize in (spatial.Resize((9, 11), interpolation=name), spatial.ResizeShort(9, name)):
        out = resize({"video": picture}, RNG)["video"]
        for frame, source in zip(out[0], picture[0], strict=True):
            want = cv2.resize(source, out.shape[3:1:-1], interpolation=flag)
            np.testing.assert_array_equal(frame, want)


def test_an_unknown_interpolation_is_refused():
    with pytest.raises(UserError, match=r'no interpolation "cubic".*Did you mean "bicubic"'):
        spatial.ResizeShort(9, "cubic")({"video": clip(20, 30)}, RNG)


# Boxes of crops


@pytest.mark.parametrize("args,given,expected,seed", cases("CenterCrop"))
def test_center_crop(args, given, expected, seed):
    box = spatial.CenterCrop(size(args["crop_size"])).box(*given["img_shape"])
    assert xyxy(box) == expected["crop_bbox"]
    assert list(box[2:]) == expected["img_shape"]


@pytest.mark.parametrize("args,given,expected,seed", cases("ThreeCrop"))
def test_three_crops(args, given, expected, seed):
    boxes = spatial.ThreeCrops(size(args["crop_size"])).boxes(*given["img_shape"])
    assert [xyxy(box) for box in boxes] == expected["crop_bboxes"]


@pytest.mark.parametrize("args,given,expected,seed", cases("TenCrop"))
def test_ten_crops(args, given, expected, seed):
    picture = clip(*given["img_shape"], views=2)
    out = spatial.TenCrops(size(args["crop_size"]))({"video": picture}, RNG)["video"]
    for i, (left, top, right, bottom) in enumerate(expected["crop_bboxes"]):
        want = picture[:, :, top:bottom, left:right]
        np.testing.assert_array_equal(out[2 * i : 2 * i + 2], want[:, :, :, :: -1 if i % 2 else 1])
    assert len(out) == 20


@pytest.mark.parametrize("args,given,expected,seed", cases("RandomResizedCrop"))
def test_random_resized_crop(args, given, expected, seed):
    """Upstream takes offsets from Python's generator and sizes from NumPy's."""
    rng = legacy(seed)
    rng.integers = random.Random(seed).randrange  # type: ignore[method-assign]
    options = {"area": tuple(args["area_range"])} if "area_range" in args else {}
    box = spatial.RandomResizedCrop(32, **options).box(*given["img_shape"], rng)  # type: ignore[arg-type]
    assert xyxy(box) == expected["crop_bbox"]


@pytest.mark.parametrize("args,given,expected,seed", cases("RandomCrop"))
def test_random_crop(args, given, expected, seed):
    crop = spatial.RandomCrop(args["size"])
    box = crop.box(*given["img_shape"], legacy(seed))  # type: ignore[arg-type]
    assert xyxy(box) == expected["crop_bbox"]
    picture = clip(*given["img_shape"])
    out = crop({"video": picture} | truths(given), legacy(seed))  # type: ignore[arg-type]
    np.testing.assert_array_equal(out["video"], spatial.crop(picture, box))
    follows(out, expected)


def test_random_crops_are_never_at_the_last_place():
    boxes = {spatial.RandomCrop(4).box(6, 7, RNG) for _ in range(200)}
    assert boxes == {(top, left, 4, 4) for top in (0, 1) for left in (0, 1, 2)}


@pytest.mark.parametrize("args,given,expected,seed", cases("MultiScaleCrop"))
def test_multi_scale_crop(args, given, expected, seed):
    """Upstream draws from Python's generator."""
    rng = legacy(seed)
    rng.integers = random.Random(seed).randrange  # type: ignore[method-assign]
    positions = 0 if args.get("random_crop") else args.get("num_fixed_crops", 5)
    gap, scales = args["max_wh_scale_gap"], tuple(args["scales"])
    crop = spatial.MultiScaleCrop(args["input_size"], scales, gap, positions)
    box = crop.box(*given["img_shape"], rng)  # type: ignore[arg-type]
    assert xyxy(box) == expected["crop_bbox"]
    assert list(box[2:]) == expected["img_shape"]


def test_multi_scale_crops_draw_every_pair_of_sides_and_every_place():
    def drawn(**options):
        crop = spatial.MultiScaleCrop(90, scales=(1.0, 0.75, 0.5), **options)
        return [crop.box(100, 140, RNG) for _ in range(3000)]

    sides = {box[2:] for box in drawn(gap=1)}
    assert sides == {(100, 100), (100, 75), (75, 100), (75, 75), (75, 50), (50, 75), (50, 50)}
    for positions, room in ((5, 5), (13, 13)):
        boxes = {box[:2] for box in drawn(gap=0, positions=positions) if box[2:] == (50, 50)}
        assert len(boxes) == room
        assert {(0, 0), (0, 88), (48, 0), (48, 88), (24, 44)} <= boxes
    tops = {box[0] for box in drawn(gap=0, positions=0) if box[2:] == (75, 75)}
    assert tops == set(range(26))
    with pytest.raises(UserError, match="0, 5 or 13 positions, not 9"):
        spatial.MultiScaleCrop(90, positions=9)


def test_a_side_close_to_the_size_does_not_leave_the_frame():
    assert spatial.MultiScaleCrop(100, (1.0,)).box(98, 120, RNG)[2:] == (98, 100)


@pytest.mark.parametrize(
    "crop",
    [spatial.RandomResizedCrop((7, 5)), spatial.MultiScaleCrop((7, 5)), spatial.RandomCrop((7, 5))],
)
def test_random_crops_take_the_pixels_of_their_box(crop):
    picture = clip(20, 30, views=2, frames=3)
    out = crop({"video": picture}, np.random.default_rng(5))["video"]
    top, left, height, width = crop.box(20, 30, np.random.default_rng(5))
    inside = picture[:, :, top : top + height, left : left + width]
    assert out.shape == (2, 3, 7, 5, 3)
    for k in np.ndindex(2, 3):
        np.testing.assert_array_equal(out[k], cv2.resize(inside[k], (5, 7)))


@pytest.mark.parametrize("crop", [spatial.CenterCrop(8), spatial.ThreeCrops(8)])
def test_a_crop_larger_than_the_frame_is_refused(crop):
    with pytest.raises(UserError, match="8 x 8 pixels does not fit a frame of 6 x 9"):
        crop({"video": clip(6, 9)}, RNG)


@pytest.mark.parametrize("box", [(-1, 0, 4, 4), (0, -1, 4, 4), (3, 0, 4, 4), (0, 6, 4, 4)])
def test_a_box_outside_the_frame_is_refused(box):
    with pytest.raises(UserError, match="does not fit a frame of 6 x 9"):
        spatial.crop(clip(6, 9), box)


# Views


@pytest.mark.parametrize("args,given,expected,seed", cases("FormatShape"))
def test_views_and_channels_in_order(args, given, expected, seed):
    if "modality" in given:  # flow: 20 planes, x and y of 10 frames, in stacks of 10
        planes = np.arange(20).reshape(1, 10, 1, 1, 2) * np.ones((1, 10, 2, 2, 2), int)
        stacked = video.StackFlow(5)({"video": planes}, RNG)["video"][0]
        assert list(np.moveaxis(stacked, -1, 1).shape) == expected["shape"]
        assert stacked[:, 0, 0].tolist() == expected["vals"]
    else:  # crops of clips of frames
        images = np.arange(24 * 2 * 2 * 3).reshape(2, 3, 4, 2, 2, 3)
        picture = np.concatenate(images, -2)  # the crops side by side
        out = spatial.views(picture, [(0, 0, 2, 2), (0, 2, 2, 2)])
        assert list(np.moveaxis(out, -1, 1).shape) == expected["shape"]
        assert np.moveaxis(out, -1, 1)[0, :, :, 0, 0].tolist() == expected["first"]


def test_three_crops_are_views_crop_major():
    picture = np.zeros((2, 1, 4, 8, 3), np.uint8)
    picture[0, ..., :4, 0], picture[0, ..., 4:, 0], picture[1] = 10, 20, 99
    out = spatial.ThreeCrops(4)({"video": picture}, RNG)["video"]
    assert out.shape == (6, 1, 4, 4, 3)
    assert out[:, 0, 0, 0, 0].tolist() == [10, 99, 20, 99, 10, 99]


# Mirrors


@pytest.mark.parametrize("args,given,expected,seed", cases("Flip"))
def test_flip(args, given, expected, seed):
    labels = tuple((int(a), b) for a, b in args.get("flip_label_map", {}).items() if int(a) < b)
    joints = tuple(zip(args.get("left_kp", ()), args.get("right_kp", ()), strict=True))
    flip = spatial.Flip(args["flip_ratio"], labels=labels, joints=joints)
    sample: dict[str, Any] = truths(given)
    if "imgs" in given:
        image = np.array(given["imgs"], np.uint8)  # (h w c), or for flow x and y, each (h w)
        flow = given.get("modality") == "Flow"
        sample["video"] = (np.moveaxis(image, 0, -1) if flow else image)[None, None]
    else:
        sample["video"] = clip(*given["img_shape"])
    if "label" in given:
        sample["label"] = np.int32(given["label"])
    before = {key: np.array(value) for key, value in sample.items()}
    out = flip(sample, RNG)
    follows(out, expected)
    if "imgs" in expected:
        image = out["video"][0, 0]
        assert (np.moveaxis(image, -1, 0) if flow else image).tolist() == expected["imgs"]
    if "label" in expected:
        assert out["label"] == expected["label"]
    for key, value in before.items():
        np.testing.assert_array_equal(sample[key], value)


def test_flips_come_as_often_as_asked_and_are_alike_in_all_views():
    picture = clip(4, 6, views=2, frames=3)
    done = [
        (spatial.Flip(0.25)({"video": picture}, RNG)["video"] == picture[:, :, :, ::-1]).all()
        for _ in range(1000)
    ]
    assert abs(np.mean(done) - 0.25) < 5 * (0.25 * 0.75 / 1000) ** 0.5


def test_a_flip_swaps_only_the_classes_of_a_pair():
    flip = spatial.Flip(labels=((2, 4), (0, 1)))
    assert [flip.label(np.array(k)).item() for k in range(6)] == [1, 0, 4, 3, 2, 5]
    many = flip.label(np.array([1, 0, 0, 1, 1, 0], np.int32))
    assert many.tolist() == [0, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("channels", [2, 10])
def test_flow_turns_along_the_mirror_only(channels):
    flow = clip(3, 4, channels=channels)
    across = spatial.mirror(flow, "horizontal")
    np.testing.assert_array_equal(across[..., 0::2], 255 - flow[:, :, :, ::-1, 0::2])
    np.testing.assert_array_equal(across[..., 1::2], flow[:, :, :, ::-1, 1::2])
    down = spatial.mirror(flow, "vertical")
    np.testing.assert_array_equal(down[..., 0::2], flow[:, :, ::-1, :, 0::2])
    np.testing.assert_array_equal(down[..., 1::2], 255 - flow[:, :, ::-1, :, 1::2])
    np.testing.assert_array_equal(spatial.mirror(clip(3, 4)), clip(3, 4)[:, :, :, ::-1])


def test_vertical_flips_are_for_video_alone():
    with pytest.raises(UserError, match="vertical flip would leave the boxes behind"):
        spatial.Flip(1.0, "vertical")({"video": clip(4, 4), "boxes": np.zeros((1, 4))}, RNG)
    with pytest.raises(UserError, match='horizontal or vertical, not "both"'):
        spatial.Flip(1.0, "both")


# What follows the picture


def marked(height=40, width=60):
    """A picture with a white rectangle, its box, and key points on two of the corners."""
    picture = np.zeros((1, 1, height, width, 3), np.uint8)
    picture[:, :, 10:30, 20:50] = 255
    boxes = np.array([[20, 10, 50, 30]], np.float32)
    points = np.array([[20.0, 10, 0.9], [50, 30, 0.8]], np.float32).reshape(1, 1, 2, 3)
    return {"video": picture, "boxes": boxes, "proposals": boxes.copy(), "keypoint": points}


@pytest.mark.parametrize(
    "transform",
    [
        spatial.ResizeShort(80),
        spatial.Resize((50, 90)),
        spatial.Resize(1.5),
        spatial.RandomRescale(60, 90),
        spatial.CenterCrop((34, 50)),
        spatial.RandomCrop((38, 56)),
        spatial.MultiScaleCrop(40, (1.0, 0.9)),
        spatial.Flip(1.0),
        spatial.RandomResizedCrop((80, 120), (0.9, 1.0), (1.4, 1.6)),
    ],
    ids=lambda t: type(t).__name__,
)
def test_boxes_and_key_points_stay_on_what_they_mark(transform):
    for seed in range(5):
        sample = marked()
        out = transform(sample, np.random.default_rng(seed))
        for key, value in marked().items():
            np.testing.assert_array_equal(sample[key], value)
        white = np.argwhere(out["video"][0, 0, ..., 0] > 127)
        (top, left), (bottom, right) = white.min(0), white.max(0) + 1
        seen = np.array([left, top, right, bottom])
        # A box that is cut ends at the last pixel, as published, not at the border behind it.
        for key in coordinates.BOXES:
            assert np.abs(out[key][0] - seen).max() <= 1.5
        xs = [left, right] if not isinstance(transform, spatial.Flip) else [right, left]
        points = out["keypoint"][0, 0]
        inside = (points[:, :2] >= 0).all() and (points[:, 0] <= out["video"].shape[3]).all()
        if inside and (points[:, 1] <= out["video"].shape[2]).all():
            assert np.abs(points[:, 0] - xs).max() <= 1.5
            assert np.abs(points[:, 1] - [top, bottom]).max() <= 1.5
        np.testing.assert_array_equal(points[:, 2], marked()["keypoint"][0, 0, :, 2])


def test_key_points_need_no_video():
    points = {"keypoint": marked()["keypoint"], "size": np.array([40, 60])}
    steps = (spatial.ResizeShort(80), spatial.RandomCrop(70), spatial.Flip(1.0))
    alone, beside = points, marked()
    for step in steps:
        alone = step(alone, np.random.default_rng(3))
        beside = step(beside, np.random.default_rng(3))
        assert tuple(alone["size"]) == beside["video"].shape[2:4]
    np.testing.assert_array_equal(alone["keypoint"], beside["keypoint"])
    with pytest.raises(UserError, match='no "img_shape" in it'):
        spatial.ResizeShort(8)({"keypoint": points["keypoint"]}, RNG)


@pytest.mark.parametrize("crop", [spatial.ThreeCrops(8), spatial.TenCrops(8)])
@pytest.mark.parametrize("key", ["boxes", "proposals", "keypoint"])
def test_several_crops_have_no_place_for_truth(crop, key):
    with pytest.raises(UserError, match=f"crops of a frame would leave the {key} behind"):
        crop({"video": clip(8, 9), key: np.zeros((1, 4))}, RNG)
