"""Video files in: the one place that decodes, through PyAV and so FFmpeg.

    with VideoReader("clip.mp4") as video:
        clip = video.read([0, 8, 16, 24])  # uint8 (n h w 3)

Frame i is the i-th picture a player would show. Where it is comes from the presentation times (pts)
of the packets: never from `i / fps`, which is wrong for variable frame rates and edit lists, and
never from the counts in the header. FFmpeg's own messages are not shown (PyAV's default).

Shape letters: n frames asked for, t frames of a clip, h height, w width.
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.error import FFmpegError, InvalidDataError
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from jaxvid.data.video import truncation
from jaxvid.data.video.containers import VideoError, open_container, plain_words
from jaxvid.data.video.timeline import ROUNDING, Reader, is_constant
from jaxvid.errors import UserError


class VideoReader(Reader):
    """Random access to the frames of a video, equal bit for bit to decoding it from its start.

    Args:
      source: a path, or the bytes of a file.
      threads: decoder threads. Data workers already run side by side, so one is best there.
      short_side: resize frames so that their short side has this many pixels, exactly as
        `spatial.ResizeShort` would do it afterwards; 0 leaves them. It saves time and memory as no
        more than one frame is ever there at full size.

    Attributes:
      path: the path, or "<N bytes>".
      frames: how many frames are shown.
      times: float64 (frames,), seconds from the first frame that is shown, by the timestamps of
        the file. Sound that begins earlier does not count.
      start: the timestamp of that frame, in seconds, as the sound of the file counts them.
      duration: seconds to the end of the last frame. It lasts 1 / fps at a constant rate, else as
        long as the file says. A file does not say it where the last frames are stored in another
        order than they are shown in.
      fps: frames per second, on average.
      height, width: of the frames that `read` returns: those of the first frame as shown, so after
        the rotation flag of a phone. Frames of another size further on are resized to it.
      rotation: degrees that flag turns the stored picture clockwise.
      codec: FFmpeg's name of it.

    Raises:
      VideoError: no such file, not a video, truncated, or nothing in it decodes.
    """

    def __init__(self, source: str | os.PathLike | bytes, threads: int = 1, short_side: int = 0):
        self.path = f"<{len(source)} bytes>" if isinstance(source, bytes) else os.fspath(source)
        self._source, self._threads = source, threads
        self._container: Any = None
        self._stream: Any = None
        self._frame: Any = None
        self._reformatter = VideoReformatter()
        try:
            with plain_words(self.path):
                self._open()
                truncation.check(source, self.path, self._container.format.name)
                self._index = index = _read_index(self._container, self._stream, self.path)
                self.frames, self.times, self.fps = len(index.start), index.times, index.fps
                self.start, self.duration = index.first, float(index.times[-1]) + index.last
                self._wanted, self._last = set(), -1  # of the read under way, and its last
                self._at = self._fed = -1
                first = self._advance(0)
                self.codec = self._stream.codec_context.name
        except BaseException:
            self.close()
            raise
        self._size = first.width, first.height
        self._swap, self._upright = _orientation(first)
        self.rotation = -first.rotation % 360
        width, height = self._size[::-1] if self._swap else self._size
        self.height, self.width = fit(height, width, short_side)

    def read(self, indices: Iterable[int] | np.ndarray) -> np.ndarray:
        """The frames `indices` (n,), in any order and with repeats, as uint8 RGB (n h w 3).

        Raises:
          VideoError: an index outside [0, frames), or a frame that does not decode.
        """
        indices = self._checked(indices)
        if self._container is None:
            raise VideoError(self.path, "the reader is closed")
        wanted, rows = np.unique(indices, return_inverse=True)
        video = np.empty((len(wanted), self.height, self.width, 3), np.uint8)
        with plain_words(self.path):
            self._wanted, self._last = set(wanted.tolist()), indices.max(initial=-1)
            for row, index in enumerate(wanted.tolist()):
                frame = self._advance(index)
                rgb = self._reformatter.reformat(frame, *self._size, format="rgb24", threads=1)
                image = rgb.to_ndarray()
                image = (image.swapaxes(0, 1) if self._swap else image)[self._upright]
                video[row] = resize(image, self.height, self.width)
        return video if np.array_equal(wanted, indices) else video[rows]

    def count_at(self, fps: float) -> None:
        if fps == 1:  # time counts frames
            super().count_at(fps)
        elif abs(fps - self.fps) > 0.01 * fps:
            raise UserError(
                f"{self.path}: a video has timestamps, so remove fps={fps:g}, which is for folders"
                " of frames; or set fps=1 where times count frames. This video has about"
                f" {self.fps:.4g} frames per second"
            )

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
        self._container = self._stream = self._frame = None
        self._decoded = iter(())

    def _open(self) -> None:
        if self._container is not None:
            self._container.close()
        self._container = open_container(self._source, self.path)
        streams = self._container.streams
        videos = [s for s in streams.video if not s.disposition & Disposition.attached_pic]
        if not videos:
            truncation.check(self._source, self.path, self._container.format.name)
            what = "audio only" if streams.audio else "nothing to see or hear"
            raise VideoError(self.path, f"no video stream ({what})")
        self._stream = videos[0]
        if self._stream.codec_context is None:
            raise VideoError(self.path, "no decoder for its codec")
        self._stream.thread_type = "AUTO"
        self._stream.thread_count = self._threads

    def _advance(self, wanted: int) -> av.VideoFrame:
        """The frame `wanted`: decodes on to it, or starts again at a keyframe nearer to it.

        `_at` is the number of the frame that came out last, `_fed` of the packet put in last.
        """
        index = self._index
        if wanted < self._at or index.start[wanted] > self._fed:
            self._restart(int(index.start[wanted]))
        for frame in self._decoded if self._at < wanted else ():
            number = self._at + 1 if index.counting else index.frame_of.get(frame.pts)
            if number is None:  # not shown
                continue
            # Times run backwards, or what the file calls a keyframe could not be started with.
            if number < self._at or self._at < self._due < number:
                break
            self._at, self._frame = number, frame
            if number >= wanted:
                break
        if self._at == wanted and not self._frame.is_corrupt:
            return self._frame
        if index.counting:
            whole = self._at + (self._at < wanted)
            raise VideoError(self.path, f"damaged: {whole} of {self.frames} frames decode")
        self._count_instead()
        return self._advance(wanted)

    def _count_instead(self) -> None:
        """Gives up on timestamps: a frame did not come out at the time its packet states."""
        first = np.full_like(self._index.start, self._index.start.min())
        self._last = -1  # leave nothing out
        self._restart(int(first[0]))
        whole = sum(not frame.is_corrupt for frame in self._decoded)
        self._restart(int(first[0]))
        if whole < self.frames:  # some are missing, so counting gives the rest wrong numbers
            raise VideoError(self.path, f"damaged: {whole} of {self.frames} frames decode")
        self._index = replace(self._index, counting=True, start=first, frame_of={})
        self._restart(int(first[0]))

    def _restart(self, packet: int) -> None:
        self._at = self._fed = -1
        self._due = self._index.frame_of.get(self._index.pts[packet], -1)
        self._decoded = self._decode(packet)

    def _decode(self, start: int) -> Iterator[av.VideoFrame]:
        """Frames as they are shown, beginning with the packet number `start`."""
        index = self._index
        for fed, packet in self._packets(start):
            self._fed = max(self._fed, fed)  # the flush at the end has no number
            number = index.frame_of.get(packet.pts, -1)
            # A frame no other leans on need not be decoded, unless a later read may go on to it.
            skip = 0 <= number < self._last and number not in self._wanted and fed != start
            self._stream.codec_context.skip_frame = "NONREF" if skip else "DEFAULT"
            try:
                yield from packet.decode()
            except InvalidDataError:  # one frame less: those after it would get wrong numbers
                if index.counting:
                    return

    def _packets(self, start: int) -> Iterator[tuple[int, av.Packet]]:
        """Packets with their numbers from `start` on, reached by seeking or else by reading on."""
        packets = None if self._index.counting else self._seek(start)
        if packets is None:
            self._open()
            packets = enumerate(self._container.demux(self._stream))
        return itertools.dropwhile(lambda item: item[0] != start, packets)

    def _seek(self, start: int) -> Iterator[tuple[int, av.Packet]] | None:
        """Numbered packets from `start` or somewhat before; None when the file cannot do that."""
        packet_of = self._index.packet_of
        try:
            self._container.seek(self._index.dts[start], stream=self._stream)
            packets = self._container.demux(self._stream)
            first = next(packets)
        except (FFmpegError, TypeError):  # TypeError: no dts
            return None
        late = packet_of.get(first.pts, start + 1) > start
        items = ((packet_of.get(p.pts, -1), p) for p in itertools.chain([first], packets))
        return None if late else items


@dataclass(frozen=True)
class _Index:
    """What is shown when. Packets are numbered as they lie in the file, frames as shown."""

    counting: bool  # timestamps are of no use: frame i is the i-th one the decoder gives
    start: np.ndarray  # int64 (frames,): the packet to start decoding with
    times: np.ndarray
    fps: float
    first: Fraction  # the timestamp of the first frame, in seconds
    last: float  # seconds that the last frame is shown
    pts: tuple[int | None, ...]  # of every packet
    dts: tuple[int | None, ...]
    packet_of: dict[int | None, int]  # by pts
    frame_of: dict[int | None, int]


def _read_index(container: Any, stream: Any, path: str) -> _Index:
    """Reads all packets once, without decoding them, which takes milliseconds."""
    packets = [
        (p.pts, p.dts, p.is_keyframe, p.size > 0 and not p.is_discard, p.duration, p.is_corrupt)
        for p in container.demux(stream)
    ][:-1]  # the last one is there to flush the decoder
    while packets and packets[-1][-1]:  # the file ends inside it
        packets.pop()
    # Mp4 lists its packets in one place. Other formats state a length that is often wrong.
    listed = len(stream.index_entries) if "mp4" in container.format.name else 0
    if listed > len(packets):  # where the picture stays, some programs list an empty packet
        listed = sum(entry.size > 0 for entry in stream.index_entries)
    if listed > len(packets):
        raise VideoError(path, f"truncated: {len(packets)} of {listed} frames decode")
    pts, dts, key, show, *_ = zip(*packets, strict=True) if packets else ((),) * 6

    # What comes before the first keyframe, or is shown before it, cannot be decoded.
    keys = [k for k, is_key in enumerate(key) if is_key] or [0]  # no keyframe: start anywhere
    shown = [k for k in range(keys[0], len(packets)) if show[k]]
    if not shown:
        raise VideoError(path, "not a video file: there are no frames in it")
    rate = stream.average_rate or stream.guessed_rate or Fraction(1)
    # Avi has no pts: with B frames FFmpeg makes them up, in the wrong order.
    made_up = container.format.name == "avi" and stream.codec_context.has_b_frames
    if made_up or None in pts or len(set(pts)) < len(pts):
        start = np.full(len(shown), keys[0], np.int64)
        times = np.arange(len(shown)) / float(rate)
        first = Fraction((stream.start_time or 0) * stream.time_base)
        return _Index(True, start, times, float(rate), first, 1 / float(rate), pts, dts, {}, {})

    shown = sorted((k for k in shown if pts[k] >= pts[keys[0]]), key=pts.__getitem__)
    ticks = np.array([pts[k] for k in shown], np.int64)
    # With open GOPs a frame shown before a keyframe may come after it in the file. It leans on
    # what went before: start with a keyframe that is not shown later than the frame.
    keys = np.array(sorted(keys, key=pts.__getitem__), np.int64)
    start = keys[np.searchsorted([pts[k] for k in keys], ticks, side="right") - 1]
    times = (ticks - ticks[0]) * float(stream.time_base)
    # The stated rate, where it agrees as closely as the resolution of the times can tell.
    gaps = len(times) - 1
    steady = gaps < 1 or abs(times[-1] - gaps / rate) < 2 * stream.time_base
    fps = float(rate) if steady else gaps / float(times[-1])
    # A packet lasts until the next one in the file, which only for the last one is until the end.
    last = float((packets[-1][4] or 0) * stream.time_base)
    usual = is_constant(times, fps) and last < 1 / fps + ROUNDING
    if usual or not last or shown[-1] < len(packets) - 1:
        last = 1 / fps
    first = Fraction(int(ticks[0]) * stream.time_base)
    frame_of = {tick: i for i, tick in enumerate(ticks.tolist())}
    packet_of: dict[int | None, int] = {t: k for k, t in enumerate(pts)}
    return _Index(False, start, times, fps, first, last, pts, dts, packet_of, frame_of)


def fit(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) with that short side and the same aspect ratio; 0 changes nothing."""
    scale = (short_side or min(height, width)) / min(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image (h w c) at another size: OpenCV's bilinear, which the published recipes used.

    It is also the fastest: FFmpeg's scaler takes two to three times as long for the same.
    """
    if image.shape[:2] == (height, width):
        return image
    import cv2  # not to make everyone who decodes wait for it

    image = np.ascontiguousarray(image)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def _orientation(frame: av.VideoFrame) -> tuple[bool, tuple[slice, slice]]:
    """(swap rows and columns, then take these slices) to stand a frame upright.

    The display matrix maps a stored pixel (x, y) to (a x + c y, b x + d y), up to a shift; it holds
    a b u c d v ... as 16.16 fixed point. Angles between the right ones are rounded to them.
    """
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, (slice(None), slice(None))
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].tolist()
    swap = abs(b) + abs(c) > abs(a) + abs(d)
    x, y = (c, b) if swap else (a, d)
    return swap, (slice(None, None, -1 if y < 0 else 1), slice(None, None, -1 if x < 0 else 1))
