"""Packets for the decoder, from a demuxer or straight from the file.

`Demuxed` reads any file that FFmpeg reads. `Direct` needs to know where the packets lie, but then
starts no demuxer, which takes longer than decoding several frames, and seeks for free.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition

from jaxvid.data.video import truncation
from jaxvid.data.video.containers import RawFile, VideoError, open_container
from jaxvid.data.video.index import Index, Places

# The codecs whose decoders need no more than these attributes and the packets.
DIRECT = ("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4")
ATTRIBUTES = (
    *("width", "height", "pix_fmt", "codec_tag", "bits_per_coded_sample", "reorder_depth"),
    *("color_range", "color_primaries", "color_trc", "colorspace"),
    *("field_order", "chroma_sample_location"),  # PyAV 18 and 19
)

BLOCK = 1 << 17  # bytes of small packets that are read at once

Numbered = Iterator[tuple[int, av.Packet | None]]


class Demuxed:
    """The packets of the first video stream of a file, or of the bytes of one."""

    def __init__(self, source: str | os.PathLike | bytes, path: str, threads: int):
        self.path, self._source, self._threads = path, source, threads
        self.container: Any = None
        self._open()

    @property
    def context(self) -> Any:
        """The decoder."""
        return self.stream.codec_context

    def start(self, index: Index, packet: int, stop: int | None = None) -> Numbered:
        """Packets with their numbers from `packet` on, reached by seeking or else by reading on."""
        packets = None if index.counting else self.seek(index, packet)
        if packets is None:
            self._open()
            packets = enumerate(self.container.demux(self.stream))
        return itertools.dropwhile(lambda item: item[0] != packet, packets)

    def close(self) -> None:
        if self.container is not None:
            self.container.close()
        self.container = self.stream = None

    def _open(self) -> None:
        self.close()
        self.container = open_container(self._source, self.path)
        streams = self.container.streams
        videos = [s for s in streams.video if not s.disposition & Disposition.attached_pic]
        if not videos:
            truncation.check(self._source, self.path, self.container.format.name)
            what = "audio only" if streams.audio else "nothing to see or hear"
            raise VideoError(self.path, f"no video stream ({what})")
        self.stream: Any = videos[0]
        if self.context is None:
            raise VideoError(self.path, "no decoder for its codec")
        self.stream.thread_type = "AUTO"
        self.stream.thread_count = self._threads

    def seek(self, index: Index, start: int) -> Numbered | None:
        """Numbered packets from `start` or somewhat before; None when the file cannot do that."""
        try:
            self.container.seek(index.dts[start], stream=self.stream)
            packets = self.container.demux(self.stream)
            first = next(packets)
        except (FFmpegError, TypeError):  # TypeError: no dts
            return None
        late = index.packet_of.get(first.pts, start + 1) > start
        packets = itertools.chain([first], packets)
        return None if late else ((index.packet_of.get(p.pts, -1), p) for p in packets)


@dataclass(frozen=True)
class Layout:
    """Facts about a file that `Direct` needs.

    Attributes:
      codec: FFmpeg's name of it.
      extradata: its header.
      attributes: ATTRIBUTES of the decoder, as far as PyAV knows them.
      at, size: see Places.
    """

    codec: str
    extradata: bytes
    attributes: dict[str, Any]
    at: np.ndarray
    size: np.ndarray


def layout_of(context: Any, places: Places) -> Layout | None:
    """Return the layout of a file with this decoder, or None if `Direct` cannot read it."""
    if context.name not in DIRECT:
        return None
    with contextlib.suppress(UnicodeDecodeError):  # a tag that is no text
        attributes = {key: getattr(context, key) for key in ATTRIBUTES if hasattr(context, key)}
        return Layout(context.name, context.extradata or b"", attributes, places.at, places.size)


class Direct:
    """The packets of a file with a known layout. Their pts are their numbers.

    Args:
      file: the open file, which this closes.
    """

    def __init__(self, file: RawFile, path: str, layout: Layout, threads: int):
        self.path, self._file, self._layout = path, file, layout
        self.context: Any = av.CodecContext.create(layout.codec, "r")
        if layout.extradata:
            self.context.extradata = layout.extradata
        for key, value in layout.attributes.items():
            if value is not None:
                setattr(self.context, key, value)
        self.context.thread_type = "AUTO"
        self.context.thread_count = threads

    def start(self, index: Index, packet: int, stop: int | None = None) -> Numbered:
        """Packets with their numbers from `packet` on; None at last, to drain the decoder.

        Args:
          stop: the last packet that will be needed, if known. Little after it is read.
        """
        self.context.flush_buffers()
        # Flushing may reset what the decoder has learned of the order of frames.
        self.context.reorder_depth = self._layout.attributes["reorder_depth"]
        return self._packets(packet, len(self._layout.at) if stop is None else stop + 1)

    def close(self) -> None:
        self._file.close()
        self.context = None

    def _packets(self, first: int, end: int) -> Numbered:
        """Packets from `first` on. Several up to `end` are read at once: system calls are slow."""
        begins = self._layout.at.tolist()
        ends = (self._layout.at + self._layout.size).tolist()
        block, start = b"", 0
        for number in range(first, len(begins)):
            at, size = begins[number], ends[number] - begins[number]
            if not size:
                continue
            if not start <= at <= start + len(block) - size:
                reach = number + 1
                while reach < end and at < ends[reach] <= at + BLOCK:
                    reach += 1
                start, block = (
                    at,
                    os.pread(self._file.fileno(), max(size, ends[reach - 1] - at), at),
                )
                if len(block) < size:
                    raise VideoError(self.path, "was cut off while it was read")
            packet = av.Packet(size)  # of bytes, it would have no padding, which decoders need
            memoryview(packet)[:] = memoryview(block)[at - start : at - start + size]
            packet.pts = number
            yield number, packet
        yield -1, None
