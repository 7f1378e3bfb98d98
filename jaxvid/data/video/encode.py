"""Video files out: generated data sets and annotated predictions."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.format import Flags as FormatFlags

from jaxvid import files
from jaxvid.data.video.containers import VideoError, plain_words
from jaxvid.data.video.timeline import is_constant

TICK = Fraction(1, 60_000)  # seconds, where the rate varies: as fine as MPEG-4 can have it


def write_video(
    path: str | os.PathLike,
    frames: Iterable[np.ndarray],
    fps: float,
    codec: str = "libx264",
    times: Sequence[float] | np.ndarray | None = None,
    **options: object,
) -> None:
    """Writes uint8 RGB frames (t h w 3), given as an array or one by one, to a video file.

    Args:
      path: the ending says the format: mp4, mkv, webm, avi, gif ... The file appears when complete.
      frames: all of one size. An odd height or width gains a row or column where the codec stores
        colors at half resolution (yuv420p, used wherever it can be).
      fps: frames per second; with `times`, on average.
      codec: FFmpeg's name of the encoder: "libx264", "libvpx-vp9", "mpeg4", "gif" ...
      times: for a rate that may vary, the seconds at which each frame appears, and at last the end
        of the last one (t + 1,): `Reader.edges`. Those of a constant `fps` are written as such.
      **options: of the encoder: crf=18, preset="fast", g=12 ...

    Raises:
      VideoError: no or unequal frames; no such folder, format, encoder or option; or a rate that
        varies, in a format without timestamps, such as avi.
      ValueError: other than t + 1 times.
    """
    name, path = os.fspath(path), Path(path)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise VideoError(name, "there are no frames to write")
    if not 0.001 <= fps <= 10_000:
        raise VideoError(name, f"fps must lie in [0.001, 10000], not {fps}")
    if not path.parent.is_dir():
        raise VideoError(name, f"there is no folder {path.parent}")
    rate = Fraction(fps).limit_denominator(1001)
    ticks = None if times is None else _to_ticks(np.asarray(times), fps)
    images = itertools.chain([first], frames)
    shown = itertools.count() if times is None else (ticks or range(len(times)))[:-1]
    timed = zip(images, shown, strict=times is not None)
    with files.replacing(path) as part:
        _encode(name, part, timed, rate, codec, ticks, options)


def _encode(
    name: str,
    part: Path,
    timed: Iterator[tuple[np.ndarray, int]],
    rate: Fraction,
    codec: str,
    ticks: list[int] | None,
    options: dict,
) -> None:
    """Write frames with their times to `part`; `name` is for errors."""
    first = next(timed)
    height, width = first[0].shape[:2]
    with plain_words(name):
        container = av.open(f"file:{part}", "w")
    try:
        with plain_words(name):
            stream = _add_stream(container, name, codec, rate, options)
            pad = (height % 2, width % 2) if stream.pix_fmt == "yuv420p" else (0, 0)
            stream.height, stream.width = height + pad[0], width + pad[1]
            tick = 1 / rate if ticks is None else TICK
            stream.codec_context.time_base = tick
        if ticks is not None:
            _let_rate_vary(container, stream, name)

        def write(frame: av.VideoFrame | None) -> None:
            with plain_words(name):
                for packet in stream.encode(frame):
                    if ticks is not None and packet.pts == ticks[-2]:
                        packet.duration = ticks[-1] - ticks[-2]
                    container.mux(packet)

        for number, (image, time) in enumerate(itertools.chain([first], timed)):
            if image.dtype != np.uint8 or image.shape != (height, width, 3):
                got, want = f"{image.dtype} {image.shape}", f"uint8 {(height, width, 3)}"
                raise VideoError(name, f"frame {number} to write is {got}, not {want}")
            image = np.pad(image, ((0, pad[0]), (0, pad[1]), (0, 0)), mode="edge")
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, tick
            write(frame)
            for option in stream.codec_context.options:  # those the encoder left over
                raise VideoError(name, f'the encoder {codec} has no option "{option}"')
        write(None)
        with plain_words(name):
            container.close()
    finally:
        container.close()


def _let_rate_vary(container: Any, stream: Any, name: str) -> None:
    if not container.format.flags & FormatFlags.variable_fps.value:
        kind = container.format.name
        raise VideoError(name, f"the rate varies, and {kind} has no timestamps; write .mp4 or .mkv")
    # An mp4 whose frames are stored in another order states a length that cuts off the last ones.
    stream.codec_context.max_b_frames = 0


def _to_ticks(times: np.ndarray, fps: float) -> list[int] | None:
    """Times in TICKs, all different; None for those of a constant rate."""
    if is_constant(times, fps):
        return None
    order = np.arange(len(times))
    ticks = np.rint(times / float(TICK)).astype(np.int64)
    return (np.maximum.accumulate(ticks - order) + order).tolist()


def _add_stream(container: Any, name: str, codec: str, rate: Fraction, options: dict) -> Any:
    try:
        encoder = av.Codec(codec, "w")
    except ValueError:
        encoder = None
    if encoder is None or encoder.type != "video":
        raise VideoError(name, f'FFmpeg has no video encoder "{codec}" here')
    stream = container.add_stream(codec, rate, {key: str(value) for key, value in options.items()})
    formats = [f.name for f in encoder.video_formats or ()] or ["yuv420p"]
    stream.pix_fmt = "yuv420p" if "yuv420p" in formats else formats[0]
    return stream
