"""Which frames samplers take, against the published cases, index for index."""

import itertools

import numpy as np
import pytest

from jaxvid.data.transforms import sampling
from jaxvid.data.video.decode import VideoError
from jaxvid.data.video.readers import ArrayReader
from tests.conftest import LegacyGenerator, cases

NAMES = {
    "clip_len": "frames",
    "frame_interval": "stride",
    "num_clips": "clips",
    "target_fps": "target_fps",
    "twice_sample": "twice",
    "temporal_jitter": "jitter",
    "keep_tail_frames": "keep_tail",
    "num_sample_positions": "windows",
    "sample_range": "window",
    "clip_interval": "every",
}
BEYOND = {"loop": "loop", "repeat_last": "last"}


def options(args):
    """Ours for MMAction2's; KeyError for what we do not know."""
    rest = args.keys() - {"test_mode", "out_of_bound_opt"}
    return {NAMES[k]: args[k] for k in rest}


def legacy(seed):
    """The published generator; `integers` also with a lower bound."""
    rng = LegacyGenerator(seed or 0)
    rng.integers = rng.state.randint  # type: ignore[method-assign]
    return rng


def at(frames, given):
    """Frame folders count from `start_index`, here every source counts from 0."""
    return (frames.ravel() + given.get("start_index", 0)).tolist()


@pytest.mark.parametrize("args,given,expected,seed", cases("SampleFrames"))
def test_sample_clips(args, given, expected, seed):
    sampler = sampling.SampleClips(
        **options(args),
        train=not args.get("test_mode", False),
        beyond=BEYOND[args.get("out_of_bound_opt", "loop")],
    )
    fps = given.get("avg_fps", 0)
    frames = sampler.indices(given["total_frames"], fps, legacy(seed))  # type: ignore[arg-type]
    assert at(frames, given) == expected


@pytest.mark.parametrize("args,given,expected,seed", cases("DenseSampleFrames"))
def test_dense_clips(args, given, expected, seed):
    sampler = sampling.DenseClips(**options(args), train=not args.get("test_mode", False))
    frames = sampler.indices(given["total_frames"], legacy(seed))  # type: ignore[arg-type]
    assert frames.shape[1] == args["clip_len"]
    assert at(frames, given) == expected


@pytest.mark.parametrize("args,given,expected,seed", cases("UniformSample"))
def test_uniform_frames(args, given, expected, seed):
    train = not args.get("test_mode", False)
    sampler = sampling.UniformFrames(**options(args), train=train, exact=True)
    frames = sampler.indices(given["total_frames"], legacy(seed))  # type: ignore[arg-type]
    assert frames.shape == (args["num_clips"], args["clip_len"])
    assert at(frames, given) == expected


@pytest.mark.parametrize("args,given,expected,seed", cases("UntrimmedSampleFrames"))
def test_clips_every(args, given, expected, seed):
    frames = sampling.ClipsEvery(**options(args)).indices(given["total_frames"])
    assert frames.shape[1] == args["clip_len"]
    assert at(frames, given) == expected


@pytest.mark.parametrize("args,given,expected,seed", cases("SampleAVAFrames"))
def test_keyframe_clip(args, given, expected, seed):
    late = given.get("start_index", 0)
    train = not args.get("test_mode", False)
    sampler = sampling.KeyframeClip(**options(args), train=train, late=late)
    total = given["total_frames"] if "total_frames" in given else given["shot_info"][1]
    reader = ArrayReader(np.empty(total), given["fps"])
    sample = {"reader": reader, "time": given["timestamp"] - given["timestamp_start"]}
    frames = sampler(sample, legacy(seed))["frames"]
    assert frames.shape == (1, args["clip_len"])
    assert at(frames, given) == expected


def draw(sampler, total, times=500, **sample):
    """int (times, v, t)."""
    sample |= {"reader": ArrayReader(np.empty(total), 25.0, "v.mp4")}
    rng = np.random.default_rng(0)
    return np.stack([sampler(sample, rng)["frames"] for _ in range(times)])


def test_clips_of_parts_are_one_of_each_and_the_end_is_repeated():
    drawn = draw(sampling.ClipsOfParts(3, 2, 2, train=True), 20)[:, 0]
    first, second = drawn[:, :3], drawn[:, 3:]
    assert (first[:, 0].min(), first[:, 0].max(), second[:, 0].min()) == (0, 6, 7)
    assert (np.diff(first) == 2).all() and (np.diff(second) == 2).all() and drawn.max() <= 19
    (short,) = draw(sampling.ClipsOfParts(3, 2, 2), 4, times=1)
    assert short.shape == (1, 6) and short.max() <= 3
    assert (np.diff(short[0, :3]) >= 0).all()  # not from the start again


def test_random_clips_cover_the_video_and_stay_in_it():
    drawn = draw(sampling.SampleClips(4, 2, train=True), 20)
    assert set(drawn[:, 0, 0]) == set(range(13))
    assert drawn.max() == 18


def test_random_windows_cover_the_video_but_for_the_last_place():
    drawn = draw(sampling.DenseClips(1, 1, clips=4, train=True, window=8), 20)
    assert drawn.shape == (500, 4, 1)
    assert set(drawn[:, 0, 0]) == set(range(12))  # of 13
    assert (np.diff(drawn[:, :, 0]) == 2).all()


def test_a_short_video_goes_round_in_windows_and_in_clips():
    drawn = draw(sampling.DenseClips(4, 3, clips=2, train=True, window=16), 10, times=20)
    assert (drawn == [[0, 3, 6, 9], [8, 1, 4, 7]]).all()


def test_keyframes_jitter_within_half_a_stride():
    for stride, low, high in ((4, -2, 1), (3, -2, 1), (1, -1, 0)):
        drawn = draw(sampling.KeyframeClip(3, stride, train=True), 100, time=2.0)[:, 0]
        moved = drawn - (50 + stride * np.array([-1, 0, 1]))
        assert set(moved.ravel()) == set(range(low, high + 1)), stride


def test_keyframes_are_found_by_time():
    def middle(time, late=0):
        return draw(sampling.KeyframeClip(1, late=late), 100, times=1, time=time).item()

    assert [middle(t) for t in (-0.5, 0.0, 1.0, 1.99, 3.96, 4.9)] == [0, 0, 25, 49, 99, 99]
    assert middle(1.0, late=1) == 26
    for time in (-1.1, 5.1, 902.0):
        with pytest.raises(
            VideoError, match=rf"v\.mp4: the key frame at {time:g} is not in the video"
        ):
            middle(time)


def test_uniform_frames_take_one_of_each_part():
    middle = draw(sampling.UniformFrames(8), 33, times=1)[0]
    assert middle.tolist() == [[2, 6, 10, 14, 18, 22, 26, 30]]
    drawn = draw(sampling.UniformFrames(8, clips=3, train=True), 33, times=400)
    assert drawn.shape == (400, 1, 8)
    assert drawn.min(0).tolist() == [[0, 4, 8, 12, 16, 20, 24, 28]]
    assert drawn.max(0).tolist() == [[4, 8, 12, 16, 20, 24, 28, 32]]


@pytest.mark.parametrize("total", [1, 2, 7, 33, 96, 97, 100, 250, 300])
def test_the_middle_frames_of_video_swin_lie_between_whole_borders(total):
    """The published rule, one segment at a time; MMAction2's differs from it by a frame or none."""
    for parts in (8, 16, 32):
        length = (total - 1) / parts
        borders = [round(length * i) for i in range(parts + 1)]
        ours = sampling.UniformFrames(parts).indices(total, np.random.default_rng(0))
        assert ours[0].tolist() == [(a + b) // 2 for a, b in itertools.pairwise(borders)]
        exact = sampling.UniformFrames(parts, exact=True).indices(total, np.random.default_rng(0))
        assert np.abs(ours - exact).max() <= 1


@pytest.mark.parametrize("total,expected", [(1, [0]), (8, [4]), (9, [8]), (24, [8]), (25, [8, 24])])
def test_untrimmed_videos_have_at_least_one_clip(total, expected):
    assert sampling.ClipsEvery(1, 1, 16).indices(total)[:, 0].tolist() == expected


def test_clips_every_repeat_the_frames_at_the_ends():
    frames = sampling.ClipsEvery(4, 3, 10).indices(12)
    assert frames.tolist() == [[0, 2, 5, 8]]


def test_joined_clips_follow_one_another_within_a_view():
    frames = np.arange(12).reshape(6, 2)
    joined = sampling.JoinClips(3)({"frames": frames}, np.random.default_rng(0))["frames"]
    assert joined.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


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
