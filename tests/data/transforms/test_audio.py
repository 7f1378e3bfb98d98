"""Sounds as clips of log-mel spectrograms: published selection, what can be loaded, loudness."""

import numpy as np
import pytest

from jaxvid.data.audio.log_mel import LogMel
from jaxvid.data.recipes import audio as recipe
from jaxvid.data.transforms.audio import Amplify, Load, SelectRows
from jaxvid.data.transforms.sampling import SampleClips
from jaxvid.data.video.containers import VideoError
from jaxvid.errors import UserError
from tests.conftest import cases
from tests.data import sounds

RNG = np.random.default_rng(0)
BINS = 80


def run(transforms, sample, seed=0):
    rng = np.random.default_rng(seed)
    for transform in transforms:
        sample = transform(sample, rng)
    return sample


@pytest.mark.parametrize("args,given,expected,seed", cases("Audio"))
def test_published_selections(args, given, expected, seed):
    audio = np.arange(20).reshape(10, 2)
    frames = np.array(given["frame_inds"]).reshape(given["num_clips"], -1)
    select = SelectRows(SampleClips(4, 1), args["fixed_length"])
    found = select.select(audio, frames, given["total_frames"])
    np.testing.assert_array_equal(found, expected["audios"])


def test_the_rows_of_a_clip_are_in_proportion_to_its_frames():
    """The list has the number of frames; without it, the frame rate decides."""
    audio = np.repeat(np.arange(500, dtype=np.float32)[:, None], BINS, 1)
    (start,) = run(recipe.build("val"), {"audio": audio, "total": 250})["audio"][..., 0, 0]
    np.testing.assert_array_equal(start, np.r_[188:314, [0, 0]])  # frames 93 to 156 of 250
    found = run(recipe.build("val"), {"audio": audio})["audio"][0, :, 0, 0]
    np.testing.assert_array_equal(found, np.r_[198:303, np.zeros(23)])  # frames 118 to 181 of 300


@pytest.mark.parametrize("beyond,rows", [("loop", 5), ("last", 48)])
def test_a_short_sound_is_padded_with_silence(beyond, rows):
    """A clip that is longer than the sound ends where its last frame loops to, as published."""
    audio = np.ones((50, BINS), np.float32)
    clip = run(recipe.build("val", beyond=beyond), {"audio": audio})["audio"]
    assert clip.shape == (1, 128, BINS, 1)
    np.testing.assert_array_equal(clip[0, :, 0, 0], np.arange(128) < rows)


def test_training_draws_clips_and_tests_spread_them():
    audio = np.repeat(np.arange(1000, dtype=np.float32)[:, None], BINS, 1)
    starts = {
        run(recipe.build("train"), {"audio": audio}, k)["audio"][0, 0, 0, 0] for k in range(9)
    }
    assert len(starts) > 5
    views = run(recipe.build("test", clips=10), {"audio": audio})["audio"]
    assert views.shape == (10, 128, BINS, 1) and np.ptp(np.diff(views[:, 0, 0, 0])) <= 2


def test_features_sounds_and_videos_give_the_same(tmp_path):
    sound = sounds.sine(1.0)
    wav = sounds.write_pcm(tmp_path / "a.wav", sound)
    want = LogMel()(np.float32(np.rint(sound * 32767) / 32768))
    np.save(tmp_path / "a.npy", want)
    video = sounds.video_with_sound(tmp_path / "a.mkv", sound)
    waveform = {"waveform": sound, "rate": 16000}
    files = [{"path": str(p)} for p in (wav, tmp_path / "a.npy", video)]
    for sample in (*files, {"file": wav.read_bytes()}, waveform, {"audio": want}):
        found = Load()(sample | {"label": 1}, RNG)
        assert found.keys() <= {"path", "label", "audio"}
        np.testing.assert_allclose(found["audio"], want, atol=5e-3)


@pytest.mark.parametrize(
    "sample,message",
    [
        ({"audio": np.zeros((9, 40))}, "the sound: 40 frequencies, but 80 are expected"),
        ({"audio": np.zeros(9)}, r"\(9,\), not \(rows, frequencies\)"),
        (
            {"waveform": np.zeros((9, 2)), "rate": 16000},
            r"float \(n,\), mono, not float64 \(9, 2\)",
        ),
        ({"waveform": np.zeros(9, np.int16), "rate": 16000}, "mono, not int16"),
        ({"waveform": np.zeros(0), "rate": 16000}, r"not float64 \(0,\)"),
        ({"waveform": np.zeros(9)}, '"rate": 16000; not None'),
        ({"waveform": np.zeros(9), "rate": 0}, '"rate": 16000; not 0'),
        ({"waveform": np.full(9, np.nan), "rate": 16000}, "finite numbers only"),
        ({"reader": None}, "the model hears sounds"),
    ],
)
def test_wrong_samples_are_errors(sample, message):
    with pytest.raises(UserError, match=message):
        Load()(sample, RNG)


def test_files_of_features_are_checked(tmp_path):
    for name, content in {"narrow": np.zeros((9, 40)), "nan": np.full((9, 80), np.nan)}.items():
        np.save(tmp_path / f"{name}.npy", content)
    with pytest.raises(UserError, match=r"narrow\.npy: 40 frequencies, but 80 are expected"):
        Load()({"path": str(tmp_path / "narrow.npy")}, RNG)
    with pytest.raises(VideoError, match=r"nan\.npy: row 0, channel 0 is nan"):
        Load()({"path": str(tmp_path / "nan.npy")}, RNG)
    with pytest.raises(VideoError, match="known to be bad"):
        Load()({"path": "a.wav", "problem": "known to be bad"}, RNG)


def test_amplified_features_are_those_of_an_amplified_sound():
    noise = RNG.standard_normal(16000).astype(np.float32)

    def features(sound):
        level = 20 * np.log10(np.maximum(1e-5, sound)) - 20
        return np.clip(level / 100 + 1, 0, 1)

    sound = np.abs(noise[:800].reshape(10, 80))
    found = Amplify(3.0, 3.0)({"audio": features(sound)}, RNG)["audio"]
    np.testing.assert_allclose(found, features(3 * sound), atol=1e-5)
    silent = Amplify(3.0, 3.0)({"audio": np.zeros((2, 80), np.float32)}, RNG)["audio"]
    assert not silent.any()
    drawn = [Amplify(0.5, 2.0)({"audio": features(sound)}, RNG)["audio"] for _ in range(20)]
    gains = np.array([np.median(x - features(sound)) for x in drawn]) * 100
    assert -6.03 < gains.min() < -2 < 2 < gains.max() < 6.03


def test_only_training_amplifies():
    steps = {split: recipe.build(split, amplify=(0.5, 2.0)) for split in ("train", "val", "test")}
    has = {split: any(isinstance(t, Amplify) for t in made) for split, made in steps.items()}
    assert has == {"train": True, "val": False, "test": False}
