"""Sound files, and the sound of videos: the one place that decodes sound, through PyAV.

    sound = waveform.read("clip.mp4")  # float32 (n,), mono, 16,000 samples per second

Samples are -1..1 for integer formats, and as stored for float formats. Mono is the mean of all
channels, as in librosa. The count of samples after resampling is exact: n samples at rate r become
ceil(n * rate / r).

Time starts at the first frame of a video: sound that begins later is preceded by silence, and sound
from before that frame is left out. In a file without a video it starts with the sound. If
timestamps leave a gap within the sound, silence fills it.
"""

import os
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from jaxvid.data.video import truncation
from jaxvid.data.video.containers import VideoError, open_container, plain_words

RATE = 16_000
GAP = 0.05  # seconds between frames of sound that count as a gap; smaller ones are rounding
CHUNK = 1 << 16  # samples that are resampled at once


def read(source: str | os.PathLike | bytes, rate: int = RATE) -> np.ndarray:
    """Return the sound of a file as mono float32 (n,).

    If a file has several sound streams, the one that players choose is read.

    Args:
      source: a path of a sound or video file, or its bytes.
      rate: samples per second of the result; other rates are resampled.

    Raises:
      VideoError: the file cannot be read, has no sound, ends early, or has samples that are not
        finite.
    """
    path = f"<{len(source)} bytes>" if isinstance(source, bytes) else os.fspath(source)
    with plain_words(path), open_container(source, path, "sound or video") as container:
        stream = container.streams.best("audio")
        if stream is None:
            kind = "video only" if container.streams.video else "nothing to see or hear"
            raise VideoError(path, f"no sound ({kind})")
        truncation.check(source, path, container.format.name)
        chunks = list(_resampled(_aligned(container, stream, path), stream.rate, rate))
        sound = np.concatenate(chunks) if chunks else np.zeros(0, np.float32)
    if not len(sound):
        raise VideoError(path, "no sound (its sound stream has no samples)")
    return sound


def resample(sound: np.ndarray, rate: int, to: int) -> np.ndarray:
    """Return a mono sound float32 (n,) at another rate, ceil(n * to / rate) samples."""
    return np.concatenate([np.zeros(0, np.float32), *_resampled(iter([sound]), rate, to)])


def write_wav(path: Path, sound: np.ndarray, rate: int):
    """Write mono sound float (n,) as a wav of 16 bits; values beyond -1..1 are clipped."""
    steps = np.rint(np.clip(sound, -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(steps.tobytes())


def _aligned(container: Any, stream: Any, path: str) -> Iterator[np.ndarray]:
    """Yield mono sound float32 (n,) at its own rate, from time 0 on and without gaps."""
    start, at = _start(container), 0  # seconds; samples that were yielded
    for frame in container.decode(stream):
        if frame.sample_rate != stream.rate:
            rates = f"{stream.rate} to {frame.sample_rate}"
            raise VideoError(path, f"the sample rate changes from {rates} Hz within the sound")
        sound = mono(frame)
        if len(bad := np.flatnonzero(~np.isfinite(sound))):
            where = f"{(at + bad[0]) / stream.rate:.3f} s is {sound[bad[0]]}"
            raise VideoError(path, f"the sound at {where}: samples must be finite numbers")
        if frame.pts is not None:
            time = float(frame.pts * frame.time_base) - (start if start is not None else 0.0)
            if start is None and at == 0:  # without a video, time starts with the sound
                start, time = time, 0.0
            late = round(time * stream.rate) - at
            if late > GAP * stream.rate or (at == 0 and late > 0):
                at += late
                yield np.zeros(late, np.float32)
            elif late < 0 and at == 0:  # from before the first frame of the video
                sound = sound[-late:]
        at += len(sound)
        yield sound


def _start(container: Any) -> float | None:
    """Return the timestamp of the first frame of the video in seconds; None without a video."""
    pictures = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not pictures or pictures[0].start_time is None:
        return None
    return float(pictures[0].start_time * pictures[0].time_base)


def mono(frame: Any) -> np.ndarray:
    """Return a PyAV frame of sound as the mean of its channels, float32 (n,)."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(frame.samples, -1).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples / np.float32(-float(np.iinfo(samples.dtype).min))
    return samples.mean(0, dtype=np.float32)


def _resampled(chunks: Iterator[np.ndarray], rate: int, to: int) -> Iterator[np.ndarray]:
    """Yield mono sound at the rate `to`, ceil(n * to / rate) samples of all n."""
    if rate == to:
        yield from chunks
        return
    resampler = av.AudioResampler(format="flt", layout="mono", rate=to)
    taken = given = 0

    def frames() -> Iterator[Any]:
        nonlocal taken
        for chunk in chunks:
            for first in range(0, len(chunk), CHUNK):
                part = np.ascontiguousarray(chunk[first : first + CHUNK], np.float32)[None]
                frame = av.AudioFrame.from_ndarray(part, format="flt", layout="mono")
                frame.sample_rate, frame.pts = rate, taken
                taken += part.shape[1]
                yield frame
        yield None  # flushes the resampler

    for frame in frames():
        if frame is None and not taken:
            return
        for done in resampler.resample(frame):
            sound = done.to_ndarray()[0]
            sound = sound[: -(-taken * to // rate) - given]
            given += len(sound)
            yield sound
    yield np.zeros(-(-taken * to // rate) - given, np.float32)
