"""Seconds become frame numbers by the timestamps of a video, whatever its rate does."""

import itertools
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from jaxvid.data import open_video
from jaxvid.data.sources.tfds import Recorded
from jaxvid.data.transforms.sampling import KeyframeClip, SampleClips
from jaxvid.data.transforms.video import Open
from jaxvid.data.video.decode import VideoError, VideoReader
from jaxvid.data.video.encode import write_video
from jaxvid.data.video.readers import ArrayReader, open_reader
from jaxvid.errors import UserError
from tests.data import video_files as make

RNG = np.random.default_rng(0)
PHONE = [make.VFR[k] / 1000 for k in range(60)]  # about 25 a second, with two breaks
# A picture a second for 8 seconds, then 25 a second for 2, then one that stays for 7.
SCREEN = [*map(float, range(8)), *(8 + k / 25 for k in range(50)), 17.0]


def write(path, times, **options):
    """A video of stamped frames that appear at `times[:-1]` and end at `times[-1]`."""
    frames = (make.picture(k) for k in range(len(times) - 1))
    write_video(path, frames, (len(times) - 2) / times[-2], times=times, **options)
    return path


def on_screen(times, second):
    """The number of the frame on screen, by looking through them all."""
    return max([k for k, time in enumerate(times[:-1]) if time <= second], default=0)


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    return write(tmp_path_factory.mktemp("times") / "screen.mp4", SCREEN)


# Reading


def test_times_and_length_are_those_of_the_file(screen):
    with VideoReader(screen) as video:
        np.testing.assert_allclose(video.edges, SCREEN, atol=2e-5)
        assert video.duration == pytest.approx(17)
        assert make.numbers(video[[3, 8, 57]]) == [3, 8, 57]


@pytest.mark.parametrize("second", [0, 0.99, 1, 3.5, 7.98, 8, 8.05, 9.5, 9.96, 10.1, 12, 16.9])
def test_the_frame_on_screen(screen, second):
    with VideoReader(screen) as video:
        assert make.number(video[video.index_at(second)]) == on_screen(SCREEN, second)


def test_beyond_the_ends_are_the_frames_at_the_ends(screen):
    with VideoReader(screen) as video:
        assert [video.index_at(t) for t in (-9, -0.1, 16.99, 17, 1e6)] == [0, 0, 57, 57, 57]


@pytest.mark.parametrize("rate", [24, 25, 30, 50, 60])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
def test_a_constant_rate_counts_frames_however_its_times_are_rounded(tmp_path, name, rate):
    """Matroska has milliseconds: frame 2 of 30 a second lies at 0.067, after 2 / 30."""
    make.encode(tmp_path / name, frames=100, rate=rate, **make.X264)
    with VideoReader(tmp_path / name) as video:
        assert [video.index_at(k / rate) for k in range(100)] == list(range(100))
        assert [video.index_at(float(np.float32(k / rate))) for k in range(100)] == list(range(100))
        assert video.at_rate(rate).tolist() == video.at_rate(video.fps).tolist() == list(range(100))
        assert video.within(10 / rate, 20 / rate) == range(10, 20)
        assert video.duration == pytest.approx(100 / rate, abs=2e-3)


def test_any_rate_is_even_in_time(screen):
    with VideoReader(screen) as video:
        for fps in (0.5, 4, 12.5, video.fps):
            found = video.at_rate(fps)
            assert len(found) == round(17 * fps)
            want = [on_screen(SCREEN, k / fps + 1e-3) for k in range(len(found))]
            assert found.tolist() == want


def test_frames_that_appear_in_a_stretch(screen):
    with VideoReader(screen) as video:
        for start, end in ((0, 2), (0.5, 3), (7.5, 8.1), (10, 16), (20, 30), (-2, 1)):
            want = [k for k, time in enumerate(SCREEN[:-1]) if start <= time < end]
            assert list(video.within(start, end)) == want


@pytest.mark.parametrize(
    "name,options",
    [
        ("edit.mp4", ("-ss", "0.7")),
        ("late.ts", ("-itsoffset", "5")),
        ("late.mkv", ("-itsoffset", "2")),
    ],
)
def test_time_counts_from_the_first_frame_shown(tmp_path, name, options):
    """Whatever the first timestamp is: with an edit list some frames of the file are not shown."""
    times = [*PHONE, PHONE[-1] + 0.04]
    source = write(tmp_path / "a.mp4", times, g=12)
    make.ffmpeg(*options, "-i", source, "-c", "copy", tmp_path / name)
    with VideoReader(tmp_path / name) as video:
        first = make.number(video[0])
        assert (first > 0) == (name == "edit.mp4")
        for second in (0, 0.3, 1, 1.22):
            number = make.number(video[video.index_at(second)])
            assert number == on_screen(times, PHONE[first] + second + 1e-3)


def test_sound_that_begins_earlier_does_not_count(tmp_path, screen):
    tone = "sine=frequency=800:duration=12:sample_rate=16000"
    path = tmp_path / "both.mkv"
    sound = ("-f", "lavfi", "-i", tone)
    make.ffmpeg(*sound, "-itsoffset", "1.5", "-i", screen, "-c:v", "copy", "-c:a", "aac", path)
    with VideoReader(path) as video:
        np.testing.assert_allclose(video.times, SCREEN[:-1], atol=2e-3)
        assert make.number(video[video.index_at(3.5)]) == 3


def test_a_video_in_a_record_has_its_times(screen):
    data = {"video": screen.read_bytes()}
    records: Any = SimpleNamespace(id=lambda row: "v", record=lambda row: data)
    with Recorded(records, 0) as video:
        np.testing.assert_allclose(video.edges, SCREEN, atol=2e-5)
        assert [video.index_at(t) for t in (3.5, 9.0, 99.0)] == [3, 33, 57]
        video.count_at(1)
        assert video.index_at(9.0) == 9


# Without timestamps


def test_folders_count_at_the_rate_that_is_given(tmp_path):
    for k in range(90):
        cv2.imwrite(str(tmp_path / f"img_{k + 1:05}.png"), make.picture(k))
    template = "img_{:05}.png"
    with open_reader(tmp_path, template=template, fps=30) as reader:
        assert [reader.index_at(t) for t in (-1, 0, 1, 2.99, 3, 99)] == [0, 0, 30, 89, 89, 89]
        assert reader.duration == pytest.approx(3)
        assert reader.at_rate(10).tolist() == list(range(0, 90, 3))
        np.testing.assert_allclose(reader.times, np.arange(90) / 30)
    for reader in (open_video(tmp_path, template=template), ArrayReader(np.zeros(9), path="x")):
        with pytest.raises(UserError, match="frames without a rate; set fps"):
            reader.index_at(1.0)


def test_repeating_frames_for_a_higher_rate():
    assert ArrayReader(np.zeros(3), 10.0).at_rate(20).tolist() == [0, 0, 1, 1, 2, 2]
    assert ArrayReader(np.zeros(2000), 1000.0).index_at(1.0) == 1000


def test_a_stated_rate_of_a_video(screen, tmp_path):
    with open_reader(screen, fps=1) as reader:  # times count frames
        assert [reader.index_at(t) for t in (0, 1, 40, 99)] == [0, 1, 40, 57]
    with pytest.raises(UserError, match=r"screen\.mp4: a video has timestamps, so remove fps=30"):
        open_reader(screen, fps=30)
    steady = make.encode(tmp_path / "a.mp4", rate=30)
    with open_reader(steady, fps=30) as reader, open_reader(steady) as own:
        assert [reader.index_at(t) for t in own.times] == list(range(60))
    with pytest.raises(UserError, match=r"fps=25.*about 30 frames per second"):
        open_reader(steady, fps=25)


# Samplers


def test_the_clip_of_a_key_frame_lies_around_what_is_on_screen(screen):
    for second in (0.0, 1.0, 3.0, 7.99, 8.0, 9.0, 12.0, 17.5):
        sample = Open()({"path": str(screen), "time": np.float32(second)}, RNG)
        (frames,) = KeyframeClip(3, 1)(sample, RNG)["frames"]
        middle = on_screen(SCREEN, second)
        assert frames.tolist() == np.clip([middle - 1, middle, middle + 1], 0, 57).tolist()
        sample["reader"].close()
    sample = Open()({"path": str(screen), "time": 18.5}, RNG)
    with (
        sample["reader"],
        pytest.raises(VideoError, match=r"18\.5 is not in the video, which ends at 17"),
    ):
        KeyframeClip(3, 1)(sample, RNG)


def test_a_stride_in_time_is_even_in_time(screen):
    with VideoReader(screen) as video:
        even = video.at_rate(video.fps)
        clips = SampleClips(8, 1, clips=3, target_fps=2)({"reader": video}, RNG)["frames"]
        want = SampleClips(8, 1, clips=3, target_fps=2).indices(len(even), video.fps, RNG)
        np.testing.assert_array_equal(clips, even[want])
        gaps = np.diff(want, axis=1) / video.fps
    np.testing.assert_allclose(gaps, 0.5, atol=0.15)
    assert 57 in clips[2] and len(set(clips[2])) < 8  # the still picture stands in for its seconds


# Writing


@pytest.mark.parametrize(
    "name,codec,exact",
    [
        ("a.mp4", "libx264", True),
        ("a.mkv", "libx264", True),
        ("a.mov", "mpeg4", True),
        ("a.webm", "libvpx-vp9", True),
        ("a.gif", "gif", True),
        ("a.ts", "libx264", False),
    ],
)
@pytest.mark.parametrize("times", [[*PHONE, PHONE[-1] + 2], SCREEN])
def test_what_is_written_keeps_its_times(tmp_path, name, codec, exact, times):
    write(tmp_path / name, times, codec=codec)
    with VideoReader(tmp_path / name) as video:
        np.testing.assert_allclose(video.times, times[:-1], atol=0.011 if codec == "gif" else 1e-3)
        if exact:  # mpeg-ts has no place for the length of a frame
            assert video.duration == pytest.approx(times[-1], abs=0.011)


def test_times_of_a_constant_rate_are_written_as_such(tmp_path):
    source = make.encode(tmp_path / "a.mkv", rate=30, **make.B_FRAMES)
    with VideoReader(source) as video:
        write_video(tmp_path / "b.avi", video, video.fps, times=video.edges)
    with VideoReader(tmp_path / "b.avi") as video:
        assert (video.fps, make.numbers(video[:])) == (30, list(range(60)))


def test_formats_without_timestamps_say_so(tmp_path):
    for name in ("a.avi", "a.h264"):
        with pytest.raises(VideoError, match=r"the rate varies, and .* write \.mp4 or \.mkv"):
            write(tmp_path / name, SCREEN)
    assert not list(tmp_path.iterdir())


def test_frames_closer_than_a_file_can_tell_stay_apart(tmp_path):
    times = [0, 0.1, 0.1 + 1e-7, 0.1 + 2e-7, 0.5, 0.6]
    write(tmp_path / "a.mp4", times)
    with VideoReader(tmp_path / "a.mp4") as video:
        assert make.numbers(video[:]) == list(range(5))
        np.testing.assert_allclose(video.times, times[:-1], atol=1e-4)


def test_every_frame_has_a_time(tmp_path):
    for times, frames in itertools.product(([0, 0.1, 0.9, 1], [0, 0.1, 0.2, 0.3]), (2, 4)):
        pictures = [make.picture(k) for k in range(frames)]
        with pytest.raises(ValueError, match="zip"):
            write_video(tmp_path / "a.mp4", pictures, 10, times=times)
    assert not list(tmp_path.iterdir())
