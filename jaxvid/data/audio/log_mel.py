"""Log-mel spectrograms: the features of sounds with which MMAction2 trains its audio models.

The formulas are those of librosa: a centered short-time Fourier transform with a Hann window, and
Slaney's mel scale with triangular filters of equal area. The defaults are MMAction2's, whose
default transform is that of the package lws instead; its windows begin at other samples, so its
numbers differ a little.

Shape letters: n samples, t rows (time steps), f frequencies.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvid.data.audio import waveform
from jaxvid.errors import UserError

RMS = 0.1  # root mean square of a sound after normalization
QUIETEST = 1e-4  # root mean square below which a sound is not made louder in proportion
FLOOR, REFERENCE = -100.0, 20.0  # dB: of silence, and of the level that counts as 0
ROWS = 4096  # rows that are computed at once, to bound the memory


@dataclass(frozen=True)
class LogMel:
    """Settings of log-mel spectrograms.

    Attributes:
      rate: samples per second; other sounds are resampled.
      window: samples of the Fourier transform of a row.
      hop: samples from one row to the next.
      bins: number of mel frequencies.
      fmin, fmax: lowest and highest frequency in Hz.

    Raises:
      UserError: a number of samples or frequencies is not positive, `fmin` is negative, or `fmax`
        is not above it, or above half of the rate.
    """

    rate: int = waveform.RATE
    window: int = 1280
    hop: int = 320
    bins: int = 80
    fmin: float = 125.0
    fmax: float = 7600.0

    def __post_init__(self):
        for name in ("rate", "window", "hop", "bins"):
            if (value := getattr(self, name)) < 1:
                raise UserError(f"{name}={value} of a spectrogram must be at least 1")
        if not 0 <= self.fmin < self.fmax <= self.rate / 2:
            raise UserError(
                f"frequencies from fmin={self.fmin:g} to fmax={self.fmax:g} Hz do not fit a rate of"
                f" {self.rate} Hz: fmin must not be negative, and fmax must be above fmin and at"
                f" most {self.rate / 2:g}"
            )

    def __call__(self, sound: np.ndarray) -> np.ndarray:
        """Return the features of a mono sound float32 (n,) as float32 (1 + n // hop, f), 0..1.

        The sound is normalized to a root mean square of 0.1 first. Levels from -80 to 20 dB become
        0 to 1.
        """
        rms = np.sqrt(np.mean(np.square(sound, dtype=np.float64)))
        sound = sound * np.float32(RMS / max(rms, QUIETEST))
        magnitudes = spectrogram(sound, self.window, self.hop)
        # One product per filter, over its few frequencies. A product with the whole matrix would
        # use the threads of BLAS, which wait for each other where several workers read sounds.
        bands = mel_bands(self.rate, self.window, self.bins, self.fmin, self.fmax)
        mel = np.stack([magnitudes[:, band] @ weights for band, weights in bands], 1)
        level = 20 * np.log10(np.maximum(10 ** (FLOOR / 20), mel)) - REFERENCE
        return np.clip(level / -FLOOR + 1, 0, 1).astype(np.float32)

    @property
    def rows_per_second(self) -> float:
        """Rows of the features in a second of sound."""
        return self.rate / self.hop


def spectrogram(sound: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Return magnitudes float32 (1 + n // hop, window // 2 + 1) of a sound float32 (n,).

    The middle of row i is the sample i * hop; zeros continue the sound on both sides.
    """
    hann = np.float32(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window))
    rows = 1 + len(sound) // hop
    padded = np.pad(sound, (window // 2, window))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][:rows]
    magnitudes = np.empty((rows, window // 2 + 1), np.float32)
    for first in range(0, rows, ROWS):
        part = slice(first, first + ROWS)
        magnitudes[part] = np.abs(np.fft.rfft(frames[part] * hann))
    return magnitudes


@functools.cache
def mel_bands(*settings: Any) -> list[tuple[slice, np.ndarray]]:
    """Return the frequencies that each filter of `mel_filters` covers, and its weights there."""
    found = []
    for weights in mel_filters(*settings):
        (covered,) = np.nonzero(weights)
        band = slice(covered[0], covered[-1] + 1) if len(covered) else slice(0)
        found.append((band, weights[band]))
    return found


def mel_filters(rate: int, window: int, bins: int, fmin: float, fmax: float) -> np.ndarray:
    """Return triangular filters float32 (bins, window // 2 + 1), each of area 1 over Hz."""
    low, high = to_mel(np.array([fmin, fmax]))
    edges = to_hz(np.linspace(low, high, bins + 2))
    slopes = edges[:, None] - np.fft.rfftfreq(window, 1 / rate)
    widths = np.diff(edges)[:, None]
    rising, falling = -slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]
    filters = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return filters.astype(np.float32)


# Slaney's mel scale is linear up to 1,000 Hz, with 3 mel per 200 Hz, and logarithmic above it.
BREAK_HZ, BREAK_MEL, HZ_PER_MEL, LOG_STEP = 1000.0, 15.0, 200 / 3, np.log(6.4) / 27


def to_mel(hz: np.ndarray) -> np.ndarray:
    """Convert frequencies in Hz to mel."""
    above = np.log(np.maximum(hz, BREAK_HZ) / BREAK_HZ) / LOG_STEP
    return np.where(hz < BREAK_HZ, hz / HZ_PER_MEL, BREAK_MEL + above)


def to_hz(mel: np.ndarray) -> np.ndarray:
    """Convert mel to frequencies in Hz."""
    above = BREAK_HZ * np.exp(LOG_STEP * np.maximum(mel - BREAK_MEL, 0))
    return np.where(mel < BREAK_MEL, mel * HZ_PER_MEL, above)
