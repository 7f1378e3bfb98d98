"""Samplers, resizing and crops against the published cases, index for index."""

import random
from types import SimpleNamespace

import numpy as np
import pytest

from jaxvid import plug
from jaxvid.data.transforms import sampling, spatial
from jaxvid.data.transforms.video import ArrayReader
from jaxvid.errors import UserError
from tests.conftest import LegacyGenerator, cases

NAMES = {
    "clip_len": "frames", "frame_interval": "stride", "num_clips": "clips",
    "target_fps": "target_fps", "twice_sample": "twice", "temporal_jitter": "jitter",
    "keep_tail_frames": "keep_tail",
}  # fmt: skip


@pytest.mark.parametrize("args,given,expected,seed", cases("SampleFrames"))
def test_sample_clips(args, given, expected, seed):
    options = {NAMES[k]: v for k, v in args.items() if k in NAMES}
    beyond = {"loop": "loop", "repeat_last": "last"}[args.get("out_of_bound_opt", "loop")]
    sampler = sampling.SampleClips(**options, train=not args.get("test_mode", False), beyond=beyond)
    rng = LegacyGenerator(seed or 0)
    indices = sampler.indices(given["total_frames"], given.get("avg_fps", 0), rng)  # type: ignore[arg-type]
    # Frame folders count from 1; here every source counts from 0.
    assert (indices.ravel() + given["start_index"]).tolist() == expected


def test_random_clips_cover_the_video_and_stay_in_it():
    sampler, rng = sampling.SampleClips(4, 2, train=True), np.random.default_rng(0)
    drawn = np.stack([sampler.indices(20, 0, rng) for _ in range(500)])
    assert set(drawn[:, 0, 0]) == set(range(13))
    assert drawn.max() == 18


def test_uniform_frames_take_one_of_each_part():
    reader = SimpleNamespace(frames=33, fps=0)
    middle = sampling.UniformFrames(8)({"reader": reader}, np.random.default_rng(0))["frames"]
    assert middle.tolist() == [[2, 6, 10, 14, 18, 22, 26, 30]]
    random_parts, rng = sampling.UniformFrames(8, train=True), np.random.default_rng(0)
    drawn = np.stack([random_parts({"reader": reader}, rng)["frames"][0] for _ in range(400)])
    assert drawn.min(0).tolist() == [0, 4, 8, 12, 16, 20, 24, 28]
    assert drawn.max(0).tolist() == [4, 8, 12, 16, 20, 24, 28, 32]


@pytest.mark.parametrize(
    "order,expected",
    [("forward", [0, 1, 2, 3]), ("reverse", [3, 2, 1, 0]), ("freeze", [2, 2, 2, 2])],
)
def test_reorder(order, expected):
    sample = {"frames": np.array([[0, 1, 2, 3]])}
    out = sampling.Reorder(order)(sample, np.random.default_rng(0))["frames"]
    assert out.tolist() == [expected]


def test_reorder_shuffles_each_clip_by_itself():
    frames = np.tile(np.arange(16), (3, 1))
    out = sampling.Reorder("shuffle")({"frames": frames}, np.random.default_rng(0))["frames"]
    assert (np.sort(out, 1) == frames).all()
    assert len({tuple(row) for row in out}) == 3


@pytest.mark.parametrize("args,given,expected,seed", cases("Resize"))
def test_resize_short(args, given, expected, seed):
    resize = spatial.ResizeShort(args["scale"][1])
    assert list(resize.shape(*given["img_shape"])) == expected["img_shape"]


@pytest.mark.parametrize("args,given,expected,seed", cases("CenterCrop"))
def test_center_crop(args, given, expected, seed):
    if isinstance(args["crop_size"], list):
        pytest.skip("crops are square here")
    top, left, height, width = spatial.CenterCrop(args["crop_size"]).box(*given["img_shape"])
    assert [left, top, left + width, top + height] == expected["crop_bbox"]


@pytest.mark.parametrize("args,given,expected,seed", cases("ThreeCrop"))
def test_three_crops(args, given, expected, seed):
    if isinstance(args["crop_size"], list):
        pytest.skip("crops are square here")
    boxes = spatial.ThreeCrops(args["crop_size"]).boxes(*given["img_shape"])
    assert [[x, y, x + w, y + h] for y, x, h, w in boxes] == expected["crop_bboxes"]


@pytest.mark.parametrize("args,given,expected,seed", cases("RandomResizedCrop"))
def test_random_resized_crop(args, given, expected, seed):
    """Upstream takes offsets from Python's generator and sizes from NumPy's."""
    rng = LegacyGenerator(seed)
    offsets = random.Random(seed)
    rng.integers = lambda high: offsets.randint(0, high - 1)  # type: ignore[method-assign]
    options = {"area": tuple(args["area_range"])} if "area_range" in args else {}
    box = spatial.RandomResizedCrop(32, **options).box(*given["img_shape"], rng)  # type: ignore[arg-type]
    top, left, height, width = box
    assert [left, top, left + width, top + height] == expected["crop_bbox"]


def test_views_are_crop_major():
    video = np.zeros((2, 1, 4, 8, 3), np.uint8)
    video[0, ..., :4, 0], video[0, ..., 4:, 0], video[1] = 10, 20, 99
    out = spatial.ThreeCrops(4)({"video": video}, np.random.default_rng(0))["video"]
    assert out.shape == (6, 1, 4, 4, 3)
    assert out[:, 0, 0, 0, 0].tolist() == [10, 99, 20, 99, 10, 99]


@pytest.mark.parametrize("split,views", [("train", 1), ("val", 1), ("test", 12)])
def test_recipe_gives_fixed_shapes(split, views):
    recipe = dict(name="clip", frames=4, stride=2, size=16, short_side=20, clips=4, crops=3)
    steps = plug.load("data.recipes", recipe, split=split)
    noise = np.random.default_rng(0).integers(0, 256, (30, 24, 40, 3), np.uint8)
    sample = {"reader": ArrayReader(noise), "label": np.int32(3)}
    for step in steps:
        sample = step(sample, np.random.default_rng(1))
    assert sample["video"].shape == (views, 4, 16, 16, 3)
    assert sample["video"].dtype == np.uint8
    assert sample["label"].shape == ()


def test_recipe_refuses_what_it_does_not_know():
    with pytest.raises(UserError, match=r'takes no "frame".* Did you mean "frames"'):
        plug.load("data.recipes", dict(name="clip", frame=4, stride=2), split="val")
    with pytest.raises(UserError, match="crops is 1 or 3"):
        plug.load("data.recipes", dict(name="clip", frames=4, stride=2, crops=2), split="test")
