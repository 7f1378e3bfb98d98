"""The index of a video: which packet of the file shows which frame, and when.

Packets are numbered as they lie in the file, frames as they are shown. An index is made by reading
all packets once, without decoding them.

Shape letters: t frames, p packets.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import av
import numpy as np

from jaxvid.data.video import colors
from jaxvid.data.video.containers import VideoError
from jaxvid.data.video.timeline import ROUNDING, is_constant

SLACK = 64  # bytes between the position that FFmpeg states of a packet and its data, at most
BLOCK = 1 << 19  # bytes that are read at once to look for packets


@dataclass(frozen=True)
class Index:
    """Times of the frames that are shown.

    Attributes:
      counting: timestamps are of no use: frame i is the i-th one that the decoder gives.
      start: int64 (t,), the packet to start decoding a frame with.
      packet: int64 (t,), the packet of each frame; empty where `counting`.
      times: float64 (t,), seconds from the first frame.
      fps: frames per second, on average.
      first: the timestamp of the first frame, in seconds.
      last: seconds that the last frame is shown.
      pts: (p,), the number by which a frame that comes out of the decoder is recognized.
      dts: (p,), by which the demuxer seeks.
    """

    counting: bool
    start: np.ndarray
    packet: np.ndarray
    times: np.ndarray
    fps: float
    first: Fraction
    last: float
    pts: Sequence[int | None]
    dts: Sequence[int | None] = ()

    @cached_property
    def frame_of(self) -> dict[int | None, int]:
        """{pts: frame} of the packets that are shown."""
        return {self.pts[packet]: frame for frame, packet in enumerate(self.packet.tolist())}

    @cached_property
    def packet_of(self) -> dict[int | None, int]:
        """{pts: packet} of all packets."""
        return {} if self.counting else {pts: k for k, pts in enumerate(self.pts)}


@dataclass(frozen=True)
class Places:
    """Positions of packets in a file.

    Attributes:
      at: int64 (p,), the first byte of each packet.
      size: int64 (p,), in bytes.
      ticks: int64 (t,), the timestamps of the frames.
      tick: seconds that one lasts.
    """

    at: np.ndarray
    size: np.ndarray
    ticks: np.ndarray
    tick: Fraction


@dataclass(frozen=True)
class Picture:
    """Size of the first frame as it is stored, and the turn that shows it upright.

    Attributes:
      width, height: as stored.
      swap: swap rows and columns.
      flip: then reverse (rows, columns).
      rotation: degrees clockwise that this turns it, as the file says.
      hdr: the name of the transfer function of high dynamic range, else "".
    """

    width: int
    height: int
    swap: bool = False
    flip: tuple[bool, bool] = (False, False)
    rotation: int = 0
    hdr: str = ""

    @property
    def shown(self) -> tuple[int, int]:
        """(height, width) as shown."""
        return (self.width, self.height) if self.swap else (self.height, self.width)

    @property
    def upright(self) -> tuple[slice, ...]:
        """The slices that reverse rows and columns."""
        return tuple(slice(None, None, -1 if flip else 1) for flip in self.flip)


def picture_of(frame: av.VideoFrame) -> Picture:
    """Read the size and orientation of a frame.

    The display matrix maps a stored pixel (x, y) to (a x + c y, b x + d y), up to a shift; it holds
    a b u c d v ... as 16.16 fixed point. Angles between the right ones are rounded to them.
    """
    hdr = colors.hdr(frame)
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Picture(frame.width, frame.height, hdr=hdr)
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].tolist()
    swap = abs(b) + abs(c) > abs(a) + abs(d)
    x, y = (c, b) if swap else (a, d)
    return Picture(frame.width, frame.height, swap, (y < 0, x < 0), -frame.rotation % 360, hdr)


def read_index(
    container: Any, stream: Any, path: str, file: int | None = None
) -> tuple[Index, Places | None]:
    """Read all packets of an open container.

    Args:
      file: descriptor of the same file, to look up where the packets lie.

    Returns:
      The index, and where the packets lie if they lie in the file as the demuxer gives them.

    Raises:
      VideoError: the file is truncated, or has no frames.
    """
    place = None if file is None else _Finder(file)
    packets = [
        (
            *(p.pts, p.dts, p.is_keyframe, p.size > 0 and not p.is_discard, p.duration),
            *(place(p) if place else -1, p.size, p.is_corrupt),
        )
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
    columns: Any = zip(*packets, strict=True) if packets else ((),) * 8
    pts, dts, key, show, duration, at, size, _ = columns

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
        none = np.empty(0, np.int64)
        return Index(True, start, none, times, float(rate), first, 1 / float(rate), pts, dts), None

    times, tick = np.array(pts, np.int64), Fraction(stream.time_base)
    last = duration[-1] or 0
    index, ticks = index_of(times, np.array(key), np.array(show), tick, rate, last)
    places = None if min(at) < 0 else Places(np.array(at), np.array(size), ticks, tick)
    return replace(index, pts=pts, dts=dts), places


def index_of(
    pts: np.ndarray,
    key: np.ndarray,
    show: np.ndarray,
    tick: Fraction,
    rate: Fraction,
    last: int,
) -> tuple[Index, np.ndarray]:
    """Make the index of a file whose packets have different timestamps.

    Args:
      pts: int64 (p,), timestamps of the packets, in units of `tick` seconds.
      key: bool (p,), whether decoding can start with a packet.
      show: bool (p,), whether the frame of a packet is shown.
      tick: seconds.
      rate: frames per second, as the file states it.
      last: units that the last packet lasts, 0 if unknown.

    Returns:
      The index, in which frames are recognized by the numbers of their packets, and the timestamps
      of the frames, int64 (t,).
    """
    keys = np.flatnonzero(key) if key.any() else np.array([0])  # no keyframe: start anywhere
    # What comes before the first keyframe, or is shown before it, cannot be decoded.
    shown = np.flatnonzero(show & (pts >= pts[keys[0]]))
    shown = shown[shown >= keys[0]]
    shown = shown[np.argsort(pts[shown])]
    ticks = pts[shown]
    # With open GOPs a frame shown before a keyframe may come after it in the file. It leans on
    # what went before: start with a keyframe that is not shown later than the frame.
    keys = keys[np.argsort(pts[keys])]
    start = keys[np.searchsorted(pts[keys], ticks, side="right") - 1]
    times = times_of(ticks, float(tick))
    # The stated rate, where it agrees as closely as the resolution of the times can tell.
    gaps = len(times) - 1
    steady = gaps < 1 or abs(times[-1] - gaps / rate) < 2 * tick
    fps = float(rate) if steady else gaps / float(times[-1])
    # A packet lasts until the next one in the file, which only for the last one is until the end.
    length = float(last * tick)
    usual = is_constant(times, fps) and length < 1 / fps + ROUNDING
    if usual or not length or shown[-1] < len(pts) - 1:
        length = 1 / fps
    first = Fraction(int(ticks[0]) * tick)
    return Index(False, start, shown, times, fps, first, length, range(len(pts))), ticks


def times_of(ticks: np.ndarray, tick: float) -> np.ndarray:
    """Seconds from the first frame, float64 (t,)."""
    return (ticks - ticks[0]) * tick


class _Finder:
    """Return where the data of each packet lies in a file; -1 from the first missing one on.

    Formats such as MPEG-TS divide packets, and Matroska may compress them. FFmpeg states the
    position of a packet, which in Matroska and AVI is that of a header before the data. Side data
    of a packet changes how it is decoded, and would be lost.
    """

    def __init__(self, file: int):
        self._file, self._lost = file, False
        self._start, self._block = 0, b""  # a part of the file

    def __call__(self, packet: av.Packet) -> int:
        position = packet.pos
        self._lost |= position is None or any(True for _ in packet.iter_sidedata())
        if self._lost or position is None:
            return -1
        data, offset = bytes(packet), position - self._start
        if offset < 0 or offset + len(data) + SLACK > len(self._block):
            self._block = os.pread(self._file, max(len(data) + SLACK, BLOCK), position)
            self._start, offset = position, 0
        if not self._block.startswith(data, offset):
            offset = self._block.find(data[:SLACK], offset, offset + 2 * SLACK)
            self._lost = offset < 0 or not self._block.startswith(data, offset)
        return -1 if self._lost else self._start + offset
