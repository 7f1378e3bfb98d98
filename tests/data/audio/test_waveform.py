"""Sound of files: numbers, channels, rates, time, and files with something wrong."""

import os
from pathlib import Path

import numpy as np
import pytest

from jaxvid.data.audio import waveform
from jaxvid.data.video.containers import VideoError
from tests.data import sounds, video_files


@pytest.mark.parametrize("bits,step", [(8, 2**-7), (16, 2**-15), (24, 2**-23), (32, 2**-31)])
def test_whole_numbers_become_shares_of_their_range(bits, step, tmp_path):
    want = sounds.sine(0.1)
    got = waveform.read(sounds.write_pcm(tmp_path / "a.wav", want, bits=bits))
    assert got.dtype == np.float32 and got.shape == (1600,)
    np.testing.assert_allclose(got, want, atol=max(step, 1e-7))


def test_float_samples_stay_as_they_are(tmp_path):
    want = np.float32(3 * sounds.sine(0.1))
    np.testing.assert_array_equal(waveform.read(sounds.write_float(tmp_path / "a.wav", want)), want)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_mono_is_the_mean_of_all_channels(channels, tmp_path):
    many = np.stack([sounds.sine(0.1, 200 + 100 * c) for c in range(channels)], 1)
    got = waveform.read(sounds.write_pcm(tmp_path / "a.wav", many))
    np.testing.assert_allclose(got, many.mean(1), atol=2**-15)


def test_planar_samples_are_channels_too(tmp_path):
    one, two = sounds.sine(0.5, 440), sounds.sine(0.5, 880)
    both = np.rint(np.stack([one, two]) * 32767).astype(np.int16)
    path = sounds.mux(tmp_path / "a.mka", both, 16000, "flac", "s16p", "stereo")
    np.testing.assert_allclose(waveform.read(path), (one + two) / 2, atol=2**-15)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_other_rates_are_resampled_to_an_exact_number_of_samples(rate, tmp_path):
    sound = sounds.sine(0.5, rate=rate)[:-7]
    got = waveform.read(sounds.write_pcm(tmp_path / "a.wav", sound, rate))
    assert len(got) == -(-len(sound) * 16000 // rate)
    want = sounds.sine(0.5)[: len(got)]
    inner = slice(200, -200)
    np.testing.assert_allclose(got[inner], want[inner], atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 50, 70000])
def test_any_number_of_samples_can_be_resampled(count):
    sound = np.ones(count, np.float32)
    assert len(waveform.resample(sound, 44100, 16000)) == -(-count * 16000 // 44100)


@pytest.mark.parametrize("late", [0.25, -0.5])
def test_time_starts_at_the_first_frame_of_a_video(late, tmp_path):
    sound = sounds.sine(1.0)
    got = waveform.read(sounds.video_with_sound(tmp_path / "a.mkv", sound, late))
    skipped = round(late * 16000)
    want = np.r_[np.zeros(max(skipped, 0)), sound[max(-skipped, 0) :]]
    assert abs(len(got) - len(want)) <= 16  # Matroska counts time in milliseconds
    inner = slice(max(skipped, 0) + 40, len(want) - 40)
    shifted = [np.roll(got, k)[inner] for k in range(-16, 17)]
    assert min(np.abs(sound - want[inner]).max() for sound in shifted) < 1e-3
    assert not got[: max(skipped - 16, 0)].any()


def test_bytes_are_read_like_a_file(tmp_path):
    path = sounds.write_pcm(tmp_path / "a.wav", sounds.sine(0.1))
    np.testing.assert_array_equal(waveform.read(path.read_bytes()), waveform.read(path))


def with_nan(folder: Path) -> Path:
    sound = sounds.sine(0.1)
    sound[800] = np.nan
    return sounds.write_float(folder / "a.wav", sound)


def cut(folder: Path) -> Path:
    path = sounds.write_pcm(folder / "a.wav", sounds.sine(1.0))
    path.write_bytes(path.read_bytes()[:20000])
    return path


def text(folder: Path) -> Path:
    (folder / "a.wav").write_text("no sound\n" * 100)
    return folder / "a.wav"


def empty(folder: Path) -> Path:
    (folder / "a.wav").touch()
    return folder / "a.wav"


BAD = {
    "video": (lambda f: video_files.encode(f / "a.mp4", 3), r"no sound \(video only\)"),
    "nothing": (
        lambda f: sounds.write_pcm(f / "a.wav", np.zeros(0)),
        "no sound|nothing to see or hear|not a sound or video file",
    ),
    "nan": (with_nan, r"the sound at 0\.050 s is nan: samples must be finite numbers"),
    "cut": (cut, r"truncated: 20,000 of 32,0\d\d bytes are there"),
    "text": (text, "not a sound or video file"),
    "empty": (empty, "zero-byte file"),
    "missing": (lambda f: f / "a.wav", "no such file"),
    "folder": (lambda f: f, "is a directory"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_heard_is_an_error_that_names_the_file(kind, tmp_path):
    make, reason = BAD[kind]
    path = make(tmp_path)
    with pytest.raises(VideoError, match=rf"{path}: .*({reason})"):
        waveform.read(path)


def test_published_sounds_have_the_samples_of_a_conversion_by_ffmpeg():
    """The video is at 44,100 Hz; the sound file beside it was converted from it."""
    data = os.environ.get("JAXVID_DATA")
    if not data:
        pytest.skip("needs JAXVID_DATA: a folder with videos/test.avi and test.wav")
    sound, video = (waveform.read(Path(data, p)) for p in ("test.wav", "videos/test.avi"))
    assert len(sound) == len(video) == 104908
    np.testing.assert_allclose(sound, video, atol=1e-3)
