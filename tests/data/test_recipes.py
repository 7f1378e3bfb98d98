"""Recipes build the published pipelines, and batches of fixed shapes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from jaxvid import plug
from jaxvid.data.transforms import color, coordinates, policies, sampling, spatial, video
from jaxvid.data.transforms.repeat import Repeat
from jaxvid.data.video.readers import ArrayReader
from jaxvid.errors import UserError


def build(split, **options):
    return plug.load("data.recipes", dict(name="clip") | options, split=split)


def run(steps, sample, seed=1):
    rng = np.random.default_rng(seed)
    for step in steps:
        sample = step(sample, rng)
    return sample


def noise(frames=30, height=24, width=40, channels=3):
    shape = (frames, height, width, channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return {"reader": ArrayReader(pixels, fps=25.0), "label": np.int32(3)}


def numbered(frames, height=24, width=40):
    """A video in which every pixel is the number of its frame."""
    pixels = np.zeros((frames, height, width, 3), np.uint8)
    pixels += np.arange(frames, dtype=np.uint8)[:, None, None, None]
    return {"reader": ArrayReader(pixels), "label": np.int32(3)}


def numbers(steps, frames):
    """The frame numbers (v, t) that come out."""
    return run(steps, numbered(frames))["video"][:, :, 0, 0, 0].tolist()


TINY: dict[str, Any] = dict(size=16, short_side=20)
CLIP: dict[str, Any] = dict(frames=4, stride=2, **TINY)
JITTER = ("color_jitter", 0.1, 0.1, 0.1, 0.1)
JITTER_AND_GRAY = (("color_jitter", 0.5, 0.5, 0.5, 0.1), ("grayscale", 0.5))
SEGMENTS: dict[str, Any] = dict(name="segments", frames=4, test_short_side=20, **TINY)


@pytest.mark.parametrize(
    "options,train,val,test",
    [
        (CLIP, 1, 1, 1),
        (CLIP | dict(clips=4, crops=3), 1, 1, 12),
        (CLIP | dict(clips=2, crops=10), 1, 1, 20),
        (CLIP | dict(repeats=3), 3, 1, 1),
        (CLIP | dict(sampler=("dense",), clips=5, crops=3), 1, 5, 15),
        (CLIP | dict(sampler=("uniform",), clips=2), 1, 1, 2),
        (CLIP | dict(sampler=("every", 10)), 1, 1, 3),
        (CLIP | dict(sampler=("clip", 30.0), clips=2), 1, 1, 2),
        (CLIP | dict(short_side_max=24, crop=("plain",), repeats=2), 2, 1, 1),
        (CLIP | dict(crop=("scales",), policy=JITTER_AND_GRAY), 1, 1, 1),
        (CLIP | dict(policy=("randaugment", 2, 5.0)), 1, 1, 1),
        (CLIP | dict(policy=("augmix",)), 1, 1, 1),
        (SEGMENTS, 1, 1, 1),
        (SEGMENTS | dict(clips=2, crops=3, repeats=2), 2, 1, 6),
        (SEGMENTS | dict(crops=10, crop=("resized",), policy=("autoaugment",)), 1, 1, 10),
        (SEGMENTS | dict(sampler=("dense",), clips=3, crops=3, policy=JITTER), 1, 3, 9),
    ],
)
def test_shapes(options, train, val, test):
    for split, views in dict(train=train, val=val, test=test).items():
        sample = run(build(split, **options), noise())
        assert sample.keys() == {"video", "label"}
        assert sample["video"].shape == (views, 4, 16, 16, 3)
        assert sample["video"].dtype == np.uint8
        assert sample["video"].flags.c_contiguous
        assert sample["label"].shape == ()


def pipeline(short_side, samplers, *pixels):
    """From opening to packing, with a resizing before what changes pixels."""
    resize = spatial.ResizeShort(short_side)
    return [video.Open(short_side), *samplers, video.Decode(3), resize, *pixels, video.Pack()]


def test_published_pipelines_of_clips():
    """MMAction2's, but for flips, which the task makes; Video Swin's, SlowFast's, I3D's, ..."""
    clips = sampling.SampleClips
    swin: dict[str, Any] = dict(frames=32, stride=2, clips=4, crops=3)
    assert build("train", **swin) == pipeline(
        256, [clips(32, 2, 1, True)], spatial.RandomResizedCrop(224)
    )
    assert build("val", **swin) == pipeline(256, [clips(32, 2)], spatial.CenterCrop(224))
    assert build("test", **swin) == pipeline(224, [clips(32, 2, 4)], spatial.ThreeCrops(224))

    slowfast: dict[str, Any] = dict(frames=32, stride=2, clips=10, crops=3, test_size=256)
    assert build("test", **slowfast) == pipeline(256, [clips(32, 2, 10)], spatial.ThreeCrops(256))
    assert build("val", **slowfast) == pipeline(256, [clips(32, 2)], spatial.CenterCrop(224))

    i3d: dict[str, Any] = dict(frames=32, stride=2, crop=("scales", 5, (1.0, 0.8), 0))
    crop = spatial.MultiScaleCrop(224, (1.0, 0.8), 0, 5)
    assert build("train", **i3d) == pipeline(256, [clips(32, 2, 1, True)], crop)
    dense: dict[str, Any] = dict(**i3d, sampler=("dense",), clips=10, crops=3, test_size=256)
    windows = sampling.DenseClips(32, 2, 1, False, 64, 10)
    assert build("test", **dense) == pipeline(256, [windows], spatial.ThreeCrops(256))
    assert build("val", **dense) == pipeline(256, [windows], spatial.CenterCrop(224))

    c3d: dict[str, Any] = dict(
        frames=16, stride=1, size=112, short_side=128, crop=("plain",), test_short_side=128
    )
    assert build("train", **c3d) == pipeline(128, [clips(16, 1, 1, True)], spatial.RandomCrop(112))
    assert build("test", **c3d, clips=10) == pipeline(
        128, [clips(16, 1, 10)], spatial.CenterCrop(112)
    )

    timesformer: dict[str, Any] = dict(frames=8, stride=32, short_side_max=320, crop=("plain",))
    assert build("train", **timesformer) == [
        *(video.Open(0), clips(8, 32, 1, True), video.Decode(3), spatial.RandomRescale(256, 320)),
        *(spatial.RandomCrop(224), video.Pack()),
    ]
    assert build("val", **timesformer) == pipeline(256, [clips(8, 32)], spatial.CenterCrop(224))

    x3d: dict[str, Any] = dict(
        frames=16, stride=5, sampler=("clip", 30.0), clips=10, crops=3, test_size=256
    )
    assert build("test", **x3d) == pipeline(
        256, [clips(16, 5, 10, target_fps=30.0)], spatial.ThreeCrops(256)
    )
    mvit: dict[str, Any] = dict(
        frames=16, stride=4, policy=("randaugment_noisy", 4, 7.0), repeats=2
    )
    crop = (spatial.RandomResizedCrop(224), policies.NoisyRandAugment(4, 7.0))
    assert build("train", **mvit) == pipeline(256, [clips(16, 4, 1, True)], Repeat(crop, 2))
    crop = crop[::-1]
    assert build("train", **mvit, policy_first=True) == pipeline(
        256, [clips(16, 4, 1, True)], Repeat(crop, 2)
    )
    colors = (("randaugment", 3, 9.0), ("color_jitter", 0.1), ("grayscale", 0.2))
    changes = [policies.RandAugment(3, 9.0), color.ColorJitter(0.1), color.Grayscale(0.2)]
    crop = spatial.RandomResizedCrop(224, (0.5, 1.0))
    steps = build("train", frames=8, stride=8, crop=("resized", (0.5, 1.0)), policy=colors)
    assert steps[-5:-1] == [crop, *changes]
    uniformer: dict[str, Any] = dict(frames=8, stride=1, sampler=("uniform", True))
    uniformer |= dict(clips=4, crops=3)
    parts = sampling.UniformFrames(8, 4, False, True)
    assert build("test", **uniformer) == pipeline(224, [parts], spatial.ThreeCrops(224))


def test_published_pipelines_of_segments():
    def frames(segments, train=False, twice=False):
        clips = sampling.SampleClips(1, 1, segments, train, twice=twice)
        return [clips, sampling.JoinClips(segments)]

    tsn: dict[str, Any] = dict(name="segments", frames=3, test_frames=25, crops=10)
    crop = spatial.MultiScaleCrop(224, (1.0, 0.875, 0.75, 0.66), 1, 5)
    assert build("train", **tsn) == pipeline(256, frames(3, train=True), crop)
    assert build("val", **tsn) == pipeline(256, frames(3), spatial.CenterCrop(224))
    assert build("test", **tsn) == pipeline(256, frames(25), spatial.TenCrops(224))

    tsm: dict[str, Any] = dict(
        name="segments", frames=8, crop=("scales", 13), clips=2, crops=3, test_size=256
    )
    crop = spatial.MultiScaleCrop(224, (1.0, 0.875, 0.75, 0.66), 1, 13)
    assert build("train", **tsm) == pipeline(256, frames(8, train=True), crop)
    assert build("test", **tsm) == pipeline(256, frames(8, twice=True), spatial.ThreeCrops(256))
    assert build("val", **tsm) == pipeline(256, frames(8), spatial.CenterCrop(224))

    tanet: dict[str, Any] = dict(
        name="segments", frames=8, sampler=("dense",), clips=10, crops=3, test_size=256
    )
    windows = [sampling.DenseClips(1, 1, 8, False, 64, 10), sampling.JoinClips(8)]
    assert build("test", **tanet) == pipeline(256, windows, spatial.ThreeCrops(256))
    changes = (("augmix", 2.0), ("color_jitter", 0.1, 0.2, 0.3))
    tpn = build("train", name="segments", frames=8, crop=("resized",), policy=changes)
    jitter = color.ColorJitter(0.1, 0.2, 0.3)
    assert tpn[-4:-1] == [spatial.RandomResizedCrop(224), policies.AugMix(2.0), jitter]


def test_segments_are_the_time_of_a_view():
    assert numbers(build("val", **SEGMENTS), 40) == [[5, 15, 25, 35]]
    twice = numbers(build("test", **SEGMENTS, clips=2), 40)
    assert twice == [[5, 15, 25, 35], [0, 10, 20, 30]]
    more = numbers(build("test", **SEGMENTS, test_frames=8, crops=3), 40)
    assert more == [[2, 7, 12, 17, 22, 27, 32, 37]] * 3
    dense = numbers(build("test", **SEGMENTS, sampler=("dense",), clips=3), 104)
    assert dense == [[k, k + 16, k + 32, k + 48] for k in (0, 20, 40)]
    (train,) = numbers(build("train", **SEGMENTS), 40)
    assert [frame // 10 for frame in train] == [0, 1, 2, 3]
    assert numbers(build("val", **SEGMENTS, order="reverse"), 40) == [[35, 25, 15, 5]]


def test_segments_of_flow_stack_their_frames():
    flow = noise(frames=40, channels=2)
    pixels = flow["reader"].video
    options = SEGMENTS | dict(flow=5, size=20)
    val = run(build("val", **options), flow)["video"]
    assert val.shape == (1, 4, 20, 20, 10)
    starts = [0, 12, 23, 35]  # clips of five frames, from end to end
    for k, start in enumerate(starts):
        planes = [pixels[start + i, ..., c] for i in range(5) for c in (0, 1)]
        small = spatial.resize(np.stack(planes)[None, ..., None], 20, 33)[0, ..., 0]
        np.testing.assert_array_equal(np.moveaxis(val[0, k], -1, 0), small[:, :, 6:26])
    assert run(build("test", **options, crops=10), flow)["video"].shape == (10, 4, 20, 20, 10)


def test_a_clip_every_so_many_frames():
    steps = build("test", **CLIP | dict(frames=2, stride=1), sampler=("every", 10))
    assert numbers(steps, 35) == [[4, 5], [14, 15], [24, 25]]


def test_wrong_options_are_refused():
    def fails(message, split="train", **options):
        with pytest.raises(UserError, match=message):
            build(split, **CLIP | options)

    fails(r'takes no "frame".* Did you mean "frames"', frame=4)
    fails('a split is train, val or test, not "all"', split="all")
    for crops in (0, 2, 5):
        fails(f"crops is 1, 3 or 10, not {crops}", split="test", crops=crops)
    fails('crop=.* it must be a tuple .*"resized", area.* Known: plain', crop=("center",))
    fails("crop='scales': it must be a tuple", crop="scales")
    fails('policy=.* Did you mean "augmix"', policy=("augmx",))
    fails('policy=.* Did you mean "grayscale"', policy=(("augmix",), ("greyscale", 0.1)))
    fails("probability must be a number from 0 to 1", policy=("grayscale", 2.0))
    fails('"plain" takes 0 arguments at most', crop=("plain", 3))
    fails("positions must be 0, 5 or 13. The nearest is 13", crop=("scales", 12))
    fails('"every" needs every', sampler=("every",))
    fails(r"dense=True is now config.data.recipe.sampler=\('dense',\)", dense=True)
    fails("a val crop of 32 pixels does not fit a short side of 20; raise short", "val", size=32)
    fails("raise test_short_side", "test", test_size=32, test_short_side=20)
    with pytest.raises(UserError, match="clips is 1, or 2 for twice the segments, not 3"):
        build("test", **SEGMENTS, clips=3)


# Repeated augmentation


class CountingReader(ArrayReader):
    reads = 0

    def read(self, indices):
        self.reads += 1
        return super().read(indices)


def test_one_decoding_gives_several_views():
    sample = noise() | {"reader": (reader := CountingReader(noise()["reader"].video))}
    views = run(build("train", **CLIP, repeats=4), sample)["video"]
    assert reader.reads == 1
    assert len({view.tobytes() for view in views}) == 4
    singles = run(build("train", **CLIP), noise())["video"]
    np.testing.assert_array_equal(views[0], singles[0])  # the first is as it would be alone


@dataclass(frozen=True)
class Brighten:
    def __call__(self, sample, rng):
        return sample | {"video": sample["video"] + 1}


def test_every_repetition_starts_from_the_decoded_clip():
    sample = {"video": np.zeros((2, 1, 2, 2, 3), np.uint8)}
    out = Repeat((Brighten(), Brighten()), 3)(sample, np.random.default_rng(0))["video"]
    assert out.shape == (6, 1, 2, 2, 3)
    assert (out == 2).all()
    assert (sample["video"] == 0).all()


def test_repeated_views_differ_in_pixels_only():
    views = run(build("train", **CLIP | dict(frames=8), repeats=3), numbered(60))["video"]
    assert (views == views[:1]).all()  # all pixels of a frame are alike, whatever the crop
    sample = {"video": np.zeros((1, 1, 4, 4, 3), np.uint8), "label": np.int32(0)}
    flip = Repeat((spatial.Flip(1.0, labels=((0, 1),)),), 2)
    with pytest.raises(UserError, match="cannot change the label of some views"):
        flip(sample, np.random.default_rng(0))
    for key in (*coordinates.BOXES, coordinates.POINTS):
        with pytest.raises(UserError, match=f"repeated augmentation would leave the {key} behind"):
            Repeat((), 2)(sample | {key: np.zeros((1, 4))}, np.random.default_rng(0))
