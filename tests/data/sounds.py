"""Small sound files made on the spot, of one or several channels, and videos with sound."""

import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 16000


def sine(seconds: float = 1.0, hz: float = 440.0, rate: int = RATE, level: float = 0.5):
    """Float64 (n,), a sine."""
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def write_pcm(path: Path, sound: np.ndarray, rate: int = RATE, bits: int = 16) -> Path:
    """Write float sound (n,) or (n, channels) as a wav of whole numbers."""
    channels = np.atleast_2d(sound.T).T
    steps = np.rint(np.clip(channels, -1, 1) * (2 ** (bits - 1) - 1)).astype(np.int64)
    if bits == 8:
        data = (steps + 128).astype(np.uint8).tobytes()
    else:
        data = steps.astype("<i8").view(np.uint8).reshape(-1, 8)[:, : bits // 8].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels.shape[1])
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def write_float(path: Path, sound: np.ndarray, rate: int = RATE) -> Path:
    """Write sound (n,) as it is, as a wav of float32."""
    return mux(path, sound.astype(np.float32)[None], rate, "pcm_f32le", "flt", "mono")


def mux(path: Path, sound: np.ndarray, rate: int, codec: str, kind: str, layout: str) -> Path:
    """Encode sound (channels, n) or packed (1, n * channels) with FFmpeg."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        _encode(container, stream, sound, rate, kind, layout, 0)
        container.mux(stream.encode(None))
    return path


def video_with_sound(
    path: Path,
    sound: np.ndarray,
    late: float = 0.0,
    frames: int = 30,
    rate: int = RATE,
    codec: str = "pcm_s16le",
) -> Path:
    """Write a video of 30 frames per second whose mono sound (n,) begins `late` seconds after it.

    If `late` is negative, the video begins after the sound.
    """
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("mpeg4", rate=30)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        stream: Any = container.add_stream(codec, rate=rate, layout="mono")
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), 5 * k, np.uint8), format="rgb24"
            )
            frame.pts, frame.time_base = k + round(max(-late, 0) * 30), Fraction(1, 30)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        kind = "fltp" if codec == "aac" else "s16"
        steps = np.float32(sound) if codec == "aac" else np.int16(np.rint(sound * 32767))
        _encode(container, stream, steps[None], rate, kind, "mono", round(max(late, 0) * rate))
        container.mux(stream.encode(None))
    return path


def _encode(container, stream, sound, rate, kind, layout, first):
    for start in range(0, sound.shape[1], 1024):
        part = np.ascontiguousarray(sound[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(part, format=kind, layout=layout)
        frame.rate, frame.pts, frame.time_base = rate, first + start, Fraction(1, rate)
        container.mux(stream.encode(frame))
