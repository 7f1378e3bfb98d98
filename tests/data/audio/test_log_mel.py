"""Log-mel spectrograms beside known values of librosa and direct computation."""

import numpy as np
import pytest

from jaxvid.data.audio.log_mel import LogMel, mel_filters, spectrogram, to_hz, to_mel
from jaxvid.errors import UserError
from tests.data.sounds import sine


def test_the_mel_scale_is_that_of_librosa():
    """Numbers from librosa's documentation of hz_to_mel, mel_to_hz and mel_frequencies."""
    np.testing.assert_allclose(to_mel(np.array([60, 110, 220, 440])), [0.9, 1.65, 3.3, 6.6])
    np.testing.assert_allclose(
        to_hz(np.arange(1.0, 6)), [66.667, 133.333, 200, 266.667, 333.333], rtol=1e-5
    )
    edges = to_hz(np.linspace(0, to_mel(np.array(11025.0)), 40))
    known = {1: 85.317, 2: 170.635, 38: 10096.408, 39: 11025.0}
    for place, hz in known.items():
        assert edges[place] == pytest.approx(hz, abs=1e-3)


def test_filters_are_triangles_of_area_one():
    filters = mel_filters(16000, 1280, 80, 125.0, 7600.0)
    assert filters.shape == (80, 641)
    hz = np.arange(641) * 12.5
    edges = to_hz(np.linspace(*to_mel(np.array([125.0, 7600.0])), 82))
    for i in (40, 60, 79):  # wide enough to be sampled well
        low, peak, high = edges[i : i + 3]
        assert filters[i].sum() * 12.5 == pytest.approx(1, rel=0.05)
        assert np.flatnonzero(filters[i])[[0, -1]].tolist() == [
            np.flatnonzero(hz > low)[0],
            np.flatnonzero(hz < high)[-1],
        ]
        assert hz[filters[i].argmax()] == pytest.approx(peak, abs=12.5)
        assert filters[i].max() <= 2 / (high - low)


def test_a_row_is_the_fourier_transform_around_its_sample():
    sound = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    found = spectrogram(sound, 64, 16)
    assert found.shape == (1 + 1000 // 16, 33)
    hann = np.hanning(65)[:64]
    padded = np.r_[np.zeros(32), sound, np.zeros(64)]
    for row in (0, 7, 62):
        want = np.abs(np.fft.rfft(padded[16 * row : 16 * row + 64] * hann))
        np.testing.assert_allclose(found[row], want, atol=1e-4)


@pytest.mark.parametrize("hz", [300, 1000, 5000])
def test_a_sine_is_loudest_at_its_frequency_and_its_level_is_known(hz):
    features = LogMel()(sine(1.0, hz).astype(np.float32))
    assert features.shape == (51, 80)
    row = features[25]
    peaks = to_hz(np.linspace(*to_mel(np.array([125.0, 7600.0])), 82))[1:-1]
    assert abs(row.argmax() - np.abs(peaks - hz).argmin()) <= 1
    # A sine of RMS 0.1 has the amplitude 0.1 sqrt(2); Hann's window has the sum 640.
    magnitude = np.abs(np.fft.rfft(0.1 * 2**0.5 * sine(0.08, hz, level=1) * np.hanning(1281)[:-1]))
    level = 20 * np.log10(mel_filters(16000, 1280, 80, 125.0, 7600.0) @ magnitude).max()
    assert row.max() == pytest.approx((level - 20 + 100) / 100, abs=2e-3)


def test_loudness_does_not_matter_and_silence_is_zero():
    loud = LogMel()(sine(0.5).astype(np.float32))
    np.testing.assert_allclose(LogMel()(sine(0.5, level=0.01).astype(np.float32)), loud, atol=1e-5)
    assert not LogMel()(np.zeros(8000, np.float32)).any()
    assert loud.min() >= 0 and loud.max() <= 1


@pytest.mark.parametrize("count", [1, 319, 320, 5000])
def test_a_short_sound_has_rows_too(count):
    assert LogMel()(np.ones(count, np.float32)).shape == (1 + count // 320, 80)


@pytest.mark.parametrize(
    "wrong", [dict(fmax=9000.0), dict(fmin=7600.0), dict(rate=8000), dict(fmin=-1.0)]
)
def test_frequencies_that_do_not_fit_are_an_error(wrong):
    with pytest.raises(UserError, match=r"fmax must be above fmin and at most"):
        LogMel(**wrong)


@pytest.mark.parametrize("key", ["rate", "window", "hop", "bins"])
def test_numbers_of_samples_and_frequencies_are_positive(key):
    with pytest.raises(UserError, match=f"{key}=0 of a spectrogram must be at least 1"):
        LogMel(**{key: 0})
