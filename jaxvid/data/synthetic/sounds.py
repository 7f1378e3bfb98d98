"""Sounds of eight classes that differ in pitch over time, rhythm or timbre, but not in loudness.

| class   | sound                                                                            |
|---------|----------------------------------------------------------------------------------|
| rising  | a tone whose pitch rises by half an octave to an octave and a half               |
| falling | the same, reversed in time                                                       |
| vibrato | a tone whose pitch swings four to seven times per second                         |
| trill   | a tone that jumps between two pitches at the rate of vibrato                     |
| steady  | a tone of one pitch, of all harmonics                                            |
| hollow  | a tone of one pitch, of the odd harmonics only                                   |
| even    | a tone that is struck at equal distances                                         |
| gallop  | a tone that is struck at alternately short and long distances                    |

Length, pitch, strength of the harmonics, loudness and noise are random in every class. The clips
are wav files in one folder for each class, in a folder for each split.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from jaxvid.data.audio.waveform import RATE, write_wav
from jaxvid.data.cache import make_version
from jaxvid.errors import UserError
from jaxvid.files import cores

VERSION = 1  # increase it when the sounds change
CLASSES = ("even", "falling", "gallop", "hollow", "rising", "steady", "trill", "vibrato")
SPLITS = ("train", "val")
SECONDS = (2.0, 3.0)
PITCH = (150.0, 600.0)  # Hz
HARMONICS = 8


def draw(split: str, index: int, seed: int = 0) -> tuple[np.ndarray, str]:
    """Return sound `index` of a split, float32 (n,), and its class.

    The result depends on the arguments only.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    name = CLASSES[index % len(CLASSES)]
    time = np.arange(round(rng.uniform(*SECONDS) * RATE)) / RATE
    sound = tone(pitch(name, time, rng), name == "hollow", rng) * rhythm(name, time, rng)
    sound *= rng.uniform(0.05, 0.5) / np.abs(sound).max()
    noise = rng.standard_normal(len(sound)) * np.sqrt(np.mean(sound**2))
    return (sound + rng.uniform(0.02, 0.2) * noise).astype(np.float32), name


def pitch(name: str, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the pitch in Hz at each time (n,) in seconds."""
    base = np.exp(rng.uniform(*np.log(PITCH)))
    rate, phase = rng.uniform(4, 7), rng.uniform(0, 2 * np.pi)
    octaves = np.zeros_like(time)
    if name in ("rising", "falling"):
        octaves = rng.uniform(0.5, 1.5) * (time / time[-1] - 0.5)
        octaves *= 1 if name == "rising" else -1
    elif name in ("vibrato", "trill"):
        swing = np.sin(2 * np.pi * rate * time + phase)
        octaves = rng.uniform(0.08, 0.2) * (swing if name == "vibrato" else np.sign(swing))
    return base * 2**octaves


def tone(hz: np.ndarray, hollow: bool, rng: np.random.Generator) -> np.ndarray:
    """Return a tone (n,) of a pitch over time (n,), of random harmonics below half of the rate.

    Args:
      hollow: only odd harmonics.
    """
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    numbers = np.arange(1, HARMONICS + 1) * (2 if hollow else 1) - (1 if hollow else 0)
    decay = rng.uniform(0.7, 1.3)
    sound = np.zeros_like(hz)
    for number in numbers:
        strength = rng.uniform(0.6, 1.4) / number**decay
        audible = number * hz < RATE / 2
        sound += strength * audible * np.sin(number * phase + rng.uniform(0, 2 * np.pi))
    return sound


def rhythm(name: str, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the envelope (n,) at each time (n,) in seconds."""
    edge = np.minimum(time, time[-1] - time)
    envelope = np.minimum(edge / 0.02, 1)
    if name not in ("even", "gallop"):
        return envelope
    beat = rng.uniform(0.16, 0.26)  # mean distance between strokes in seconds
    uneven = 0.35 if name == "gallop" else 0.0
    starts = np.arange(int(time[-1] / beat) + 2) * beat - rng.uniform(0, beat)
    starts[1::2] += uneven * beat
    since = time - starts[np.searchsorted(starts, time, "right") - 1]
    return envelope * np.minimum(since / 0.005, 1) * np.exp(-since / 0.06)


def generate(root: Path | str, train: int = 800, val: int = 200, seed: int = 0) -> Path:
    """Write `train/CLASS/*.wav` and `val/CLASS/*.wav` to the folder `root`, unless it exists.

    Args:
      train, val: number of sounds of each split.
      seed: seed of all random choices, at least 0.

    Raises:
      UserError: a number is out of range, or the folder has another content.
    """
    if min(train, val) < len(CLASSES) or seed < 0:
        least = len(CLASSES)
        raise UserError(
            f"train and val are {least} or more, seed 0 or more: {train}, {val}, {seed}"
        )
    version = {"version": VERSION, "train": train, "val": val, "seed": seed}
    return make_version(Path(root), lambda folder: _fill(folder, version, seed), version)


def _fill(root: Path, counts: Mapping[str, Any], seed: int):
    for split in SPLITS:
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(lambda k, s=split: _write(root, s, k, seed), range(counts[split])))


def _write(root: Path, split: str, index: int, seed: int):
    sound, name = draw(split, index, seed)
    write_wav(root / split / name / f"{index:05}.wav", sound, RATE)
