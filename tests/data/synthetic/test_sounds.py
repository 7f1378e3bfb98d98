"""Generated sounds: what tells the classes apart, and what does not."""

import numpy as np
import pytest

from jaxvid.data.audio import waveform
from jaxvid.data.audio.log_mel import spectrogram
from jaxvid.data.synthetic import sounds
from jaxvid.errors import UserError
from jaxvid.tools import make_sounds


def of(name, count=4):
    """Sounds of one class."""
    first = sounds.CLASSES.index(name)
    return [sounds.draw("val", first + k * len(sounds.CLASSES)) for k in range(count)]


def test_a_sound_depends_on_its_arguments_only():
    one, name = sounds.draw("train", 3)
    np.testing.assert_array_equal(sounds.draw("train", 3)[0], one)
    assert name == sounds.CLASSES[3] and one.dtype == np.float32
    for other in (("val", 3, 0), ("train", 11, 0), ("train", 3, 1)):
        assert sounds.draw(*other)[0].shape != one.shape


def test_pitch_rises_and_falls():
    for name, sign in (("rising", 1), ("falling", -1)):
        for sound, _ in of(name):
            power = spectrogram(sound, 2048, 512)[4:-4] ** 2
            mean = (power * np.arange(1025)).sum(1) / power.sum(1)
            assert sign * (mean[-8:].mean() - mean[:8].mean()) > 0


def test_strokes_are_at_equal_or_at_two_distances():
    rng = np.random.default_rng(0)
    time = np.arange(3 * waveform.RATE) / waveform.RATE
    for name, kinds in (("even", 1), ("gallop", 2), ("steady", 0)):
        envelope = sounds.rhythm(name, time, rng)
        starts = np.flatnonzero((np.diff(envelope) < 0) & (np.diff(envelope, prepend=0)[:-1] > 0))
        gaps = np.diff(starts)[1:-2] / waveform.RATE
        if kinds:
            assert len(gaps) > 6
        found = 1 + (np.ptp(gaps) > 0.03) if len(gaps) else 0
        assert found == kinds


def test_loudness_says_nothing():
    levels = {}
    for k in range(16 * len(sounds.CLASSES)):
        sound, name = sounds.draw("train", k)
        levels.setdefault(name, []).append(np.abs(sound).max())
    means = [np.mean(v) for v in levels.values()]
    assert np.ptp(means) < 0.2 and min(map(np.ptp, levels.values())) > 0.25


def test_files_are_written_once(tmp_path):
    root = sounds.generate(tmp_path / "set", train=8, val=8)
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.wav"))
    assert len(files) == 16 and files[0] == "train/even/00000.wav"
    want, _ = sounds.draw("train", 0)
    np.testing.assert_allclose(waveform.read(root / files[0]), want, atol=1e-4)
    assert sounds.generate(tmp_path / "set", train=8, val=8) == root
    with pytest.raises(UserError, match="train and val are 8 or more"):
        sounds.generate(tmp_path / "other", train=7)


def test_the_command_prints_what_there_is_and_what_to_do_next(tmp_path, capsys):
    folder = tmp_path / "a set"
    assert make_sounds.main([str(folder), "--train", "8", "--val", "8"]) == 0
    there, following = capsys.readouterr().out.splitlines()
    assert there == f"{folder} has 8 sounds for training and 8 for validation, 8 classes"
    assert following.endswith(f"--config audio_own:mini --config.data.root='{folder}'")
