"""Small videos made on the spot, each frame stamped with its number to read back.

The stamp is a row of black and white blocks, wide enough to survive any codec; the picture behind
it moves, so that frames predicted from others are really different from them.
"""

import struct
import subprocess
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from jaxvid.data.video.colors import ToRGB

BITS, BLOCK = 9, 12  # numbers below 512, in blocks of 12 x 12 pixels
SIZE = (80, 128)  # height, width


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 (h w 3): the stamp of `number` along the top, a moving pattern below."""
    h, w = size
    y, x = np.mgrid[:h, :w]
    red = 128 + 80 * np.sin((x + 5 * number) / 9)
    green = 128 + 80 * np.sin((y - 3 * number) / 7)
    blue = (x + y + 2 * number) % 160 + 40
    image = np.stack([red, green, blue], axis=-1).astype(np.uint8)
    bits = [number >> k & 1 for k in range(BITS)]
    image[:BLOCK, : BITS * BLOCK] = np.kron(bits, np.ones((BLOCK, BLOCK)))[..., None] * 255
    return image


def number(image: np.ndarray) -> int:
    """The number stamped on a decoded frame."""
    blocks = image[:BLOCK, : BITS * BLOCK].reshape(BLOCK, BITS, BLOCK, 3)[3:-3, :, 3:-3]
    return sum(int(level > 127) << k for k, level in enumerate(blocks.mean(axis=(0, 2, 3))))


def numbers(video: np.ndarray) -> list[int]:
    return [number(image) for image in video]


def encode(
    path: Path,
    frames: int = 60,
    codec: str = "libx264",
    size: tuple[int, int] = SIZE,
    rate: int = 30,
    pix_fmt: str = "yuv420p",
    times: Iterable[int] | None = None,
    first: int = 0,
    **options: str,
) -> Path:
    """Encodes pictures `first`, `first + 1`, ...; `times` are their presentation times in ms."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for k, time in enumerate(range(frames) if times is None else times):
            frame = av.VideoFrame.from_ndarray(picture(first + k, size), format="rgb24")
            frame.pts = time
            frame.time_base = Fraction(1, rate if times is None else 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def with_duration(source: Path, target: Path, factor: float) -> Path:
    """A copy of an mp4 whose movie, track and media headers state `factor` times its length."""
    data = bytearray(source.read_bytes())
    for box, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        at = data.index(box) + offset
        (duration,) = struct.unpack_from(">I", data, at)
        struct.pack_into(">I", data, at, int(duration * factor))
    target.write_bytes(data)
    return target


def with_matrix(source: Path, target: Path, a: int, b: int, c: int, d: int) -> Path:
    """A copy of an mp4 shown with stored pixel (x, y) at (a x + c y, b x + d y)."""
    data = bytearray(source.read_bytes())
    one = 1 << 16
    matrix = (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, *matrix)
    target.write_bytes(data)
    return target


def cut(source: Path, target: Path, begin: float = 0.0, end: float = 1.0) -> Path:
    """The bytes of a file from one fraction of its length to another, in whole TS packets."""
    data = source.read_bytes()
    target.write_bytes(data[int(len(data) * begin) // 188 * 188 : int(len(data) * end)])
    return target


def damage(source: Path, target: Path, packet: int, spared: int = 20) -> Path:
    """A copy with one video packet of 40 bytes or more overwritten, all but its beginning."""
    with av.open(str(source)) as container:
        found = list(container.demux(video=0))[packet]
        at, size = found.pos, found.size
    assert at is not None and size >= 40
    data = bytearray(source.read_bytes())
    data[at + spared : at + size] = b"\xff" * (size - spared)
    target.write_bytes(data)
    return target


def tone(path: Path, codec: str) -> Path:
    """A tenth of a second of sound, no picture."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=16000, layout="mono")
        samples: Any = np.zeros((1, 1600), np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def sequential(path: Path) -> np.ndarray:
    """All frames, decoded from the first to the last without any seeking, in our own colors."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        frames = list(container.decode(video=0))
    w, h = frames[0].width, frames[0].height
    to_rgb = ToRGB()
    return np.stack([to_rgb(frame, w, h).copy() for frame in frames])


X264: dict[str, Any] = {"preset": "veryfast", "threads": "1"}
B_FRAMES: dict[str, Any] = {"x264-params": "keyint=12:bframes=3:b-adapt=0", **X264}
OPEN_GOP = {"x264-params": "keyint=12:bframes=3:b-adapt=0:open-gop=1", **X264}
LONG_GOP: dict[str, Any] = {"x264-params": "keyint=250:bframes=3:b-adapt=0:b-pyramid=2", **X264}
HEVC = {"x265-params": "log-level=none:pools=none:frame-threads=1:keyint=12:open-gop=1:bframes=3"}
VFR = [33 * k + 3 * (k % 7) + 400 * (k // 20) for k in range(60)]

ENCODED = {  # file name: arguments of encode
    "b.mp4": B_FRAMES,
    "b.mkv": B_FRAMES,
    "b.ts": B_FRAMES,
    "b.avi": B_FRAMES,  # without presentation times
    "b.h264": B_FRAMES,  # without any times
    "open.mp4": OPEN_GOP,
    "open.ts": OPEN_GOP,
    "long.mp4": LONG_GOP | {"frames": 200},
    "no_b.mp4": {"g": "12", "bf": "0", **X264},
    "odd.mp4": {"size": (79, 121), "pix_fmt": "yuv444p", **B_FRAMES},
    "vfr.mp4": {"times": VFR, **B_FRAMES},
    "refresh.mp4": {"x264-params": "keyint=12:intra-refresh=1", **X264},
    "small.ts": {"size": (64, 110), "first": 100, **B_FRAMES},
    "hevc.mp4": {"codec": "libx265", "preset": "ultrafast", **HEVC},
    "vp9.webm": {"codec": "libvpx-vp9", "g": "12", "lag-in-frames": "16", "cpu-used": "8"},
    "odd.webm": {"codec": "libvpx-vp9", "size": (79, 121), "g": "12", "cpu-used": "8"},
    "av1.mp4": {"codec": "libsvtav1", "g": "12", "preset": "11"},
    "mpeg4.avi": {"codec": "mpeg4", "g": "12", "bf": "2"},
    "mpeg4_no_b.avi": {"codec": "mpeg4", "g": "12"},
    "anim.gif": {"codec": "gif", "pix_fmt": "rgb8"},
}
MADE = {  # file name: (from, how)
    "long_header.mp4": ("b.mp4", lambda a, b: with_duration(a, b, 3)),
    "short_header.mp4": ("b.mp4", lambda a, b: with_duration(a, b, 0.3)),
    "edit.mp4": ("b.mp4", lambda a, b: ffmpeg("-ss", "0.7", "-i", a, "-c", "copy", b)),
    "edit_open.mp4": ("open.mp4", lambda a, b: ffmpeg("-ss", "0.7", "-i", a, "-c", "copy", b)),
    "edit_hevc.mp4": ("hevc.mp4", lambda a, b: ffmpeg("-ss", "0.7", "-i", a, "-c", "copy", b)),
    "fragments.mp4": (
        "b.mp4",
        lambda a, b: ffmpeg("-i", a, "-c", "copy", "-movflags", "frag_keyframe+empty_moov", b),
    ),
    "no_start.ts": ("b.ts", lambda a, b: cut(a, b, begin=0.3)),
    "twice.ts": ("b.ts", lambda a, b: b.write_bytes(a.read_bytes() * 2)),
}
# The picture numbers a file shows; its own 0, 1, 2 ... where not said.
SHOWN = {
    "long.mp4": range(200),
    "small.ts": range(100, 160),
    "edit.mp4": range(21, 60),
    "no_start.ts": range(24, 60),
    "twice.ts": [*range(60)] * 2,
}


def ffmpeg(*arguments) -> bytes:
    """Runs the ffmpeg program: for edit lists and such, which PyAV does not write."""
    binary = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    command = [binary, "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
