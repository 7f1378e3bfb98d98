"""Sounds: loading them as log-mel spectrograms, and the selection of clips.

Shape letters: v views, t rows (time steps) of a spectrogram, f frequencies, n samples.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jaxvid.data.annotations import feature_files
from jaxvid.data.audio import extracted, waveform
from jaxvid.data.audio.log_mel import FLOOR, LogMel
from jaxvid.data.sample import Sample
from jaxvid.data.transforms.sampling import SampleClips
from jaxvid.data.video.decode import VideoError
from jaxvid.data.video.video_files import has_ending
from jaxvid.errors import UserError


@dataclass(frozen=True)
class Load:
    """Add the log-mel spectrogram `audio` float32 (t, f) of a sound, unless the sample has it.

    `path` is a file of features (.npy, .npz or .csv) with the rows of the spectrogram, a file of
    sound, or a video with sound. A sample can have the bytes of such a sound or video as `file`, or
    a sound `waveform` float (n,) with its sample `rate` instead.

    Attributes:
      features: settings of the spectrogram.

    Raises:
      VideoError: the file cannot be read, has no sound, or the sample has a `problem`.
      UserError: the features have another number of frequencies or were extracted with other
        settings, or the waveform has another form.
    """

    features: LogMel = field(default_factory=LogMel)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        name = sample.get("path", "the sound")
        if "problem" in sample:
            raise VideoError(name, sample["problem"])
        if "audio" in sample:
            audio = np.asarray(sample["audio"], np.float32)
        elif "waveform" in sample:
            audio = self.features(self._given(sample))
        elif has_ending(str(sample.get("path", "")), feature_files.ENDINGS):
            extracted.check(Path(sample["path"]), self.features)
            audio, _ = feature_files.read(sample["path"])
        elif source := sample.get("file") or sample.get("path"):
            audio = self.features(waveform.read(source, self.features.rate))
        else:
            raise UserError(
                'the model hears sounds: give it a file, or {"waveform": samples, "rate": 16000}'
            )
        if audio.ndim != 2 or audio.shape[1] != self.features.bins:
            shape = audio.shape[1] if audio.ndim == 2 else f"{audio.shape}, not (rows, frequencies)"
            raise UserError(
                f"{name}: {shape} frequencies, but {self.features.bins} are expected"
                " (config.data.recipe.bins): features with other settings?"
            )
        kept = {k: v for k, v in sample.items() if k not in ("waveform", "rate", "file")}
        return kept | {"audio": audio}

    def _given(self, sample: Sample) -> np.ndarray:
        """Return the waveform of a sample at the rate of the features."""
        sound, rate = np.asarray(sample["waveform"]), sample.get("rate")
        if sound.ndim != 1 or sound.dtype.kind != "f" or not len(sound):
            raise UserError(f"a waveform is float (n,), mono, not {sound.dtype} {sound.shape}")
        if not isinstance(rate, int) or rate < 1:
            raise UserError(f'a waveform needs its samples per second, "rate": 16000; not {rate}')
        if not np.isfinite(sound).all():
            raise UserError("a waveform has finite numbers only")
        return waveform.resample(sound.astype(np.float32), rate, self.features.rate)


@dataclass(frozen=True)
class Amplify:
    """Multiply a sound by a random factor: add its decibels to the log-mel spectrogram `audio`.

    Attributes:
      low, high: range of the factor, which is uniform in decibels.
    """

    low: float = 1.0
    high: float = 1.0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        gain = rng.uniform(20 * np.log10(self.low), 20 * np.log10(self.high))
        louder = np.clip(sample["audio"] + np.float32(gain / -FLOOR), 0, 1)
        return sample | {"audio": np.where(sample["audio"] > 0, louder, 0)}


@dataclass(frozen=True)
class SelectRows:
    """Select the rows of the spectrogram that belong to clips of frames: `audio` (v t f 1).

    This is MMAction2's AudioFeatureSelector. A clip of frames is sampled as for a video, and the
    rows between its first and its last frame are the clip of sound. It is cut or padded with zeros
    (silence) to a fixed number of rows.

    Attributes:
      sampler: samples the frames of a clip.
      rows: rows of a clip.
      frames_per_row: frames of the video for each row, which gives the number of frames where the
        sample has no `total`.
    """

    sampler: SampleClips
    rows: int = 128
    frames_per_row: float = 0.6

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        audio = sample["audio"]
        total = sample.get("total") or max(round(len(audio) * self.frames_per_row), 1)
        frames = self.sampler.indices(total, 0.0, rng)
        return sample | {"audio": self.select(audio, frames, total)[..., None]}

    def select(self, audio: np.ndarray, frames: np.ndarray, total: int) -> np.ndarray:
        """Return the rows (v, rows, f) of `audio` (t, f) at `frames` (v, n) of a video.

        Args:
          total: number of frames of the video.
        """
        clips = np.zeros((len(frames), self.rows, audio.shape[1]), audio.dtype)
        for clip, (first, last) in zip(clips, frames[:, [0, -1]], strict=True):
            # As published: from the end of the first frame to the end of the last one.
            start, end = (round((i + 1) / total * len(audio)) for i in (int(first), int(last)))
            part = audio[start:end][: self.rows]
            clip[: len(part)] = part
        return clips
