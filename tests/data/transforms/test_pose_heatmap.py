"""Heat maps against the published cases and against loops over pixels, and PoseC3D's pipelines."""

import numpy as np
import pytest

from jaxvid import skeletons
from jaxvid.data.recipes import heatmap as recipe
from jaxvid.data.recipes import rgbpose
from jaxvid.data.transforms.heatmap import Heatmaps
from jaxvid.data.transforms.spatial import Flip
from jaxvid.data.video.readers import ArrayReader
from jaxvid.errors import UserError
from tests.conftest import cases
from tests.data.transforms.test_skeleton import run, sample_of

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("args,given,expected,seed", cases("GeneratePoseTarget"))
def test_heatmaps(args, given, expected, seed, monkeypatch):
    left, right = (tuple(args.get(key, ())) for key in ("left_kp", "right_kp"))
    three = skeletons.Skeleton(3, 0, (), (), left, right)
    monkeypatch.setitem(skeletons.SKELETONS, "three", three)
    limbs = tuple(map(tuple, args["skeletons"])) if args["with_limb"] else ()
    options = {key: args[key] for key in ("sigma", "scaling", "double") if key in args}
    sample = {
        "keypoint": np.array(given["keypoint"], np.float32)[None],
        "keypoint_score": np.array(given["keypoint_score"], np.float32)[None],
        "size": np.array(given["img_shape"]),
    }
    out = Heatmaps(layout="three", limbs=limbs, **options)(sample, RNG)["heatmap"]
    maps = np.moveaxis(out[:, 0], -1, 1)  # (v j h w), as published
    assert list(maps.shape) == expected["shape"]
    np.testing.assert_allclose(maps.sum((2, 3)), expected["sum_per_channel"], rtol=1e-5)
    np.testing.assert_allclose(maps.max((2, 3)), expected["max_per_channel"], rtol=1e-5)
    # The published limbs are computed in float64, where one pixel more does not underflow: 1e-45.
    drawn = (maps != 0).sum((2, 3))
    np.testing.assert_allclose(drawn, expected["nonzero"], atol=1 if limbs else 0)
    peaks = [np.unravel_index(plane.argmax(), plane.shape) for view in maps for plane in view]
    assert np.array(peaks).tolist() == expected["argmax"]


def pixel_by_pixel(points, scores, height, width, sigma, pairs):
    """(m t j 2), (m t j) -> (t h w limbs), each pixel from the definition."""
    out = np.zeros((points.shape[1], height, width, len(pairs)))
    for m, t, k in np.ndindex(*points.shape[:2], len(pairs)):
        (a, b), (s, e) = points[m, t, pairs[k]], scores[m, t, pairs[k]]
        if min(s, e) < 1e-4:
            continue
        if np.square(a - b).sum() < 1:
            b, e = a, s
        low = np.maximum(np.trunc(np.minimum(a, b) - 3 * sigma), 0).astype(int)
        high = (np.trunc(np.maximum(a, b) + 3 * sigma) + 1).astype(int)
        for y in range(low[1], min(high[1], height)):
            for x in range(low[0], min(high[0], width)):
                p, length = np.array([x, y]), np.square(b - a).sum()
                share = min(max((p - a) @ (b - a) / length, 0), 1) if length else 0
                distance = np.square(p - a - share * (b - a)).sum()
                value = min(s, e) * np.exp(-distance / (2 * sigma**2))
                out[t, y, x, k] = max(out[t, y, x, k], value)
    return out


def people(seed=0):
    """Two people of 17 joints, some beyond the borders, missing, coinciding or without a score."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-3, 17, (2, 3, 17, 2)).astype(np.float32)
    scores = rng.random((2, 3, 17), np.float32)
    points[0, 0, 3], points[:, 1, 7] = 0, points[:1, 1, 5] + 0.4
    scores[1, 0], scores[0, 2, :5] = 0, 5e-5
    scores[0, 1, [5, 7]] = 0.9, 0.3  # the ends of a limb of less than a pixel
    return points, scores


@pytest.mark.parametrize("sigma", [0.6, 1.5])
@pytest.mark.parametrize("limbs", [(), recipe.LIMBS], ids=["joints", "limbs"])
def test_every_pixel_is_what_the_definition_says(limbs, sigma):
    points, scores = people()
    out = Heatmaps(sigma, limbs=limbs).draw(points[None], scores[None], 14, 12)
    pairs = np.array(limbs or [(j, j) for j in range(17)])
    expected = pixel_by_pixel(points.astype(float), scores, 14, 12, sigma, pairs)
    assert out.shape == (1, 3, 14, 12, 17) and out.dtype == np.float32
    np.testing.assert_allclose(out[0], expected, atol=2e-6)


@pytest.mark.parametrize("scaling,size", [(0.25, (4, 3)), (0.5, (7, 6)), (1.0, (14, 11))])
def test_scaling(scaling, size):
    points, scores = people()
    out = Heatmaps(scaling=scaling).draw(points[None], scores[None], 14, 11)
    scaled = Heatmaps().draw(points[None] * np.float32(scaling), scores[None], *size)
    np.testing.assert_array_equal(out, scaled)


def test_views_are_drawn_by_themselves():
    both = [people(seed=seed) for seed in (0, 1)]
    points, scores = (np.stack(arrays) for arrays in zip(*both, strict=True))
    out = Heatmaps().draw(points, scores, 14, 14)
    for view, (p, s) in zip(out, both, strict=True):
        np.testing.assert_array_equal(view, Heatmaps().draw(p[None], s[None], 14, 14)[0])


def test_nobody_is_an_empty_map():
    out = Heatmaps().draw(np.zeros((1, 1, 2, 17, 2)), np.zeros((1, 1, 2, 17)), 8, 8)
    assert out.shape == (1, 2, 8, 8, 17) and not out.any()
    with pytest.raises(UserError, match=r'have 25 joints, 17 in the layout "coco"'):
        Heatmaps().draw(np.zeros((1, 1, 2, 25, 2)), np.zeros((1, 1, 2, 25)), 8, 8)


def test_without_scores_joints_are_drawn_in_full():
    points = np.full((1, 1, 1, 17, 2), 4.0, np.float32)
    out = Heatmaps()({"keypoint": points, "size": (9, 9)}, RNG)["heatmap"]
    assert (out.max((2, 3)) == 1).all()


@pytest.mark.parametrize("limbs", [(), recipe.LIMBS], ids=["joints", "limbs"])
def test_the_double_is_what_mirrored_key_points_give(limbs):
    """Pixel x goes to width - 1 - x, which is a mirror of key points around a pixel less."""
    points, scores = people()
    points = np.abs(points) + 0.1
    maps = Heatmaps(limbs=limbs, double=True)
    sample = {"keypoint": points[None], "keypoint_score": scores[None], "size": np.array([14, 12])}
    out = maps(sample, RNG)["heatmap"]
    assert out.shape == (2, 3, 14, 12, 17)
    joints = skeletons.get("coco")
    pairs = tuple(zip(joints.left, joints.right, strict=True))
    mirrored = Flip(1.0, joints=pairs)(sample | {"size": np.array([14, 11])}, RNG)
    again = maps.draw(mirrored["keypoint"], mirrored["keypoint_score"], 14, 12)[0]
    # Windows end by truncation, not symmetrically, so their last pixels may differ.
    inner = np.maximum(out[1], again) > np.exp(-2.5)
    np.testing.assert_allclose(out[1][inner], again[inner], atol=1e-5)
    assert inner.any((0, 1, 2)).all()


def test_a_mirror_swaps_the_published_limbs():
    left, right = (0, 2, 3, 6, 7, 8, 12, 14), (1, 4, 5, 9, 10, 11, 13, 15)
    assert Heatmaps(limbs=recipe.LIMBS).mirror() == skeletons.swap(range(17), left, right)


# Recipes


@pytest.mark.parametrize("limbs", [False, True])
@pytest.mark.parametrize("split,views,side", [("train", 1, 56), ("val", 1, 64), ("test", 20, 64)])
def test_recipe(split, views, side, limbs):
    frames = 4  # the published 48 give 280 MB in test
    out = run(recipe.build(split, limbs=limbs, frames=frames), sample_of(frames=20))
    assert out.keys() == {"heatmap", "label"}
    assert out["heatmap"].shape == (views, frames, side, side, 17)
    assert out["heatmap"].dtype == np.float32 and out["heatmap"].flags.c_contiguous
    assert 0.5 < out["heatmap"].max() <= 1


def test_defaults_are_the_published_ones():
    out = run(recipe.build("val"), sample_of(frames=20))
    assert out["heatmap"].shape == (1, 48, 64, 64, 17)


def test_squeezed_or_cropped():
    for crop in (True, False):
        out = run(recipe.build("val", frames=2, crop=crop, test_size=32), sample_of(frames=9))
        assert out["heatmap"].shape == (1, 2, 32, 32, 17)


def test_only_training_is_random():
    for split, same in (("train", False), ("val", True), ("test", True)):
        transforms = recipe.build(split, frames=4, clips=2)
        one, other = (run(transforms, sample_of(), seed)["heatmap"] for seed in (0, 1))
        assert np.array_equal(one, other) == same


def peaks(maps):
    """x of the largest value (v t j) of every map."""
    flat = maps.reshape(*maps.shape[:2], -1, maps.shape[-1])
    return flat.argmax(2) % maps.shape[3]


@pytest.mark.parametrize("module", [recipe, rgbpose])
def test_a_flip_mirrors_the_maps_and_swaps_left_and_right(module):
    maps = []
    for flip in (0.0, 1.0):
        sample = sample_of(frames=9) | {"keypoint_score": np.ones((1, 9, 17))}
        sample["reader"] = ArrayReader(np.zeros((9, 48, 64, 3), np.uint8))
        frames = {"frames": 2} | ({"pose_frames": 8} if module is rgbpose else {})
        build = module.build("train", flip=flip, area=(1.0, 1.0), size=56, **frames)
        maps.append(run(build, sample)["heatmap"])
    width = maps[0].shape[3]
    mirror = list(skeletons.get("coco").mirror)
    np.testing.assert_allclose(peaks(maps[1]), width - peaks(maps[0])[..., mirror], atol=1)


def test_recipe_mistakes():
    with pytest.raises(UserError, match='limbs are those of the layout "coco", not "openpose"'):
        recipe.build("train", limbs=True, layout="openpose")
    for module in (recipe, rgbpose):
        with pytest.raises(UserError, match='a split is train, val or test, not "all"'):
            module.build("all")


# Video and pose


@pytest.mark.parametrize("split,views,side", [("train", 1, 224), ("val", 1, 256), ("test", 3, 256)])
def test_video_and_maps_show_the_same(split, views, side):
    """A bright spot in the video, at half the annotation's scale, is where the joint is drawn."""
    frames, rng = 20, np.random.default_rng(0)
    points = np.zeros((1, frames, 17, 2), np.float32)
    points[0, :, :, 0] = rng.uniform(20, 300, 17)
    points[0, :, :, 1] = rng.uniform(30, 200, 17)
    points[0, :, 0] = 180, 90  # a joint that no mirror swaps
    clip = np.zeros((frames, 120, 160, 3), np.uint8)
    clip[:, 44:47, 89:92] = 255
    sample = {
        "keypoint": points,
        "keypoint_score": np.ones((1, frames, 17), np.float32),
        "size": np.array([240, 320]),
        "reader": ArrayReader(clip),
    }
    for seed in range(4):
        out = run(rgbpose.build(split, clips=3), sample, seed)
        assert out.keys() == {"video", "heatmap"}
        assert out["video"].shape == (views, 8, side, side, 3)
        assert out["heatmap"].shape == (views, 32, side // 4, side // 4, 17)
        bright = np.argwhere(out["video"][0, 0, :, :, 0] > 200).mean(0) / 4
        peak = np.unravel_index(out["heatmap"][0, 0, :, :, 0].argmax(), (side // 4,) * 2)
        np.testing.assert_allclose(bright, peak, atol=1)
    cropped = run(rgbpose.build(split, clips=3, pose_frames=0), sample, 3)
    assert cropped.keys() == {"video"}
    assert cropped["video"].shape == out["video"].shape
    assert (cropped["video"] > 200).any()
