"""Video files in: the one place that decodes, through PyAV and so FFmpeg.

    with VideoReader("clip.mp4") as video:
        clip = video.read([0, 8, 16, 24])  # uint8 (n h w 3)

Frame i is the i-th picture a player would show. Where it is comes from the presentation times (pts)
of the packets: never from `i / fps`, which is wrong for variable frame rates and edit lists, and
never from the counts in the header. FFmpeg's own messages are not shown (PyAV's default).

The index of a file is kept from one opening to the next (see `index_cache`), with the place of each
packet in the file. Then the decoder gets its packets without a demuxer (see `packets`).

Shape letters: n frames asked for, t frames of a clip, h height, w width.
"""

import bisect
import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import av
import numpy as np
from av.error import FFmpegError, InvalidDataError

from jaxvid.data.video import index_cache, mp4, truncation
from jaxvid.data.video.colors import ToRGB, warn_of_hdr
from jaxvid.data.video.containers import RawFile, VideoError, plain_words
from jaxvid.data.video.index import Index, Picture, index_of, picture_of, read_index
from jaxvid.data.video.index_cache import Known
from jaxvid.data.video.packets import Demuxed, Direct, Layout, layout_of
from jaxvid.data.video.timeline import RUN, Reader
from jaxvid.errors import UserError


class VideoReader(Reader):
    """Random access to the frames of a video, equal bit for bit to decoding it from its start.

    Args:
      source: a path, or the bytes of a file.
      threads: decoder threads. Data workers already run side by side, so one is best there.
      short_side: resize frames so that their short side has this many pixels, exactly as
        `spatial.ResizeShort` would do it afterwards; 0 leaves them. It saves time and memory as no
        more than one frame is ever there at full size.
      indexes: folder of indexes beside a manifest; see `index_cache`.

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
      VideoError: no such file, not a video, or truncated. Damage of a frame may be noticed only
        when it is read.
    """

    def __init__(
        self,
        source: str | os.PathLike | bytes,
        threads: int = 1,
        short_side: int = 0,
        indexes: str = "",
    ):
        self.path = f"<{len(source)} bytes>" if isinstance(source, bytes) else os.fspath(source)
        self._source, self._threads, self._indexes = source, threads, indexes
        self._known: Known | None = None  # what is kept, or could be
        self._packets: Any = None
        self._to_rgb = ToRGB()
        self._once = True  # what comes after a read is not read
        self._early = False  # start with the first keyframe only
        self._careful = False  # use only what works with any file
        try:
            with plain_words(self.path):
                self._picture = self._open()
        except BaseException:
            self.close()
            raise
        index, picture = self._index, self._picture
        self.frames, self.times, self.fps = len(index.start), index.times, index.fps
        self.start, self.duration = index.first, float(index.times[-1]) + index.last
        self.rotation = picture.rotation
        self.height, self.width = fit(*picture.shown, short_side)
        if picture.hdr:
            warn_of_hdr(self.path, picture.hdr)

    def read(self, indices: Iterable[int] | np.ndarray) -> np.ndarray:
        """The frames `indices` (n,), in any order and with repeats, as uint8 RGB (n h w 3).

        Raises:
          VideoError: an index outside [0, frames), or a frame that does not decode.
        """
        indices = self._checked(indices)
        if self._packets is None:
            raise VideoError(self.path, "the reader is closed")
        wanted, rows = np.unique(indices, return_inverse=True)
        video = np.empty((len(wanted), self.height, self.width, 3), np.uint8)
        with plain_words(self.path):
            self._plan(wanted.tolist())
            for row, index in enumerate(self._wanted):
                self._convert(self._advance(index), video[row])
        return video if np.array_equal(wanted, indices) else video[rows]

    def read_on(self, indices: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
        self._once &= len(indices) <= RUN
        return super().read_on(indices)

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
        if self._packets is not None:
            self._packets.close()
        self._packets = self._frame = None
        self._decoded = iter(())

    def _open(self) -> Picture:
        """Open the file with its index: that which is kept, or of its header, or of its packets."""
        source = self._source
        if isinstance(source, bytes):
            return self._open_demuxed()
        if kept := index_cache.load(self.path, self._indexes):
            file, known = kept
            self._use(Direct(file, self.path, known.layout, self._threads), known.index)
            self._known, self.codec = known, known.layout.codec
            return known.picture
        with contextlib.suppress(OSError), RawFile(self.path) as file:  # else as the demuxer says
            identity = index_cache.identity(file.fileno())
            if picture := self._open_listed(identity, mp4.read_table(file.fileno())):
                return picture
            return self._open_demuxed(file, identity)
        return self._open_demuxed()

    def _open_listed(self, identity: list[int], table: mp4.Table | None) -> Picture | None:
        """Open a file whose header lists its packets; None if its first frame does not decode."""
        if table is None:
            return None
        show = np.ones(len(table.pts), bool)
        index, ticks = index_of(table.pts, table.key, show, table.tick, table.rate, table.last)
        layout = Layout(table.codec, table.extradata, table.attributes, table.at, table.size)
        direct = Direct(RawFile(self.path), self.path, layout, self._threads)
        picture = table.picture
        if picture is None:
            frame = _first_frame(direct, index)
            picture = None if frame is None or frame.is_corrupt else picture_of(frame)
        if picture is None:
            direct.close()
            return None
        self._use(direct, index)
        self.codec = table.codec
        self._keep(Known(identity, index, ticks, float(table.tick), picture, layout))
        return picture

    def _open_demuxed(self, file: RawFile | None = None, identity: Sequence[int] = ()) -> Picture:
        """Open any file that FFmpeg reads.

        Args:
          file, identity: the same file, whose packets are looked up in it to keep an index.
        """
        demuxed = self._packets = Demuxed(self._source, self.path, self._threads)
        truncation.check(self._source, self.path, demuxed.container.format.name)
        descriptor = file and file.fileno()
        index, places = read_index(demuxed.container, demuxed.stream, self.path, descriptor)
        self._use(demuxed, index)
        frame = self._first()
        picture = picture_of(frame)
        if places and (layout := layout_of(demuxed.context, places)):
            direct = Direct(RawFile(self.path), self.path, layout, self._threads)
            numbered = replace(index, pts=range(len(index.pts)), dts=())
            other = _first_frame(direct, numbered)
            if other is not None and self._is_equal(frame, other):
                demuxed.close()
                self._use(direct, numbered)
                tick = float(places.tick)
                self._keep(Known([*identity], numbered, places.ticks, tick, picture, layout))
            else:
                direct.close()
        return picture

    def _keep(self, known: Known) -> None:
        self._known = known
        index_cache.keep(self.path, known)

    def _is_equal(self, frame: av.VideoFrame, other: av.VideoFrame) -> bool:
        size = frame.width, frame.height
        return np.array_equal(self._to_rgb(frame, *size), self._to_rgb(other, *size))

    def _use(self, packets: Demuxed | Direct, index: Index) -> None:
        """Read from `packets`, beginning anywhere."""
        self._packets, self._index = packets, index
        self._at = -1  # the number of the frame that came out last
        self._fed = -2  # the number of the packet that was put in last
        self._stop: int | None = None  # the last packet of the run under way
        self._frame: Any = None
        self._decoded: Iterator[av.VideoFrame] = iter(())

    def _first(self) -> av.VideoFrame:
        """The first frame. What is read next may lie anywhere."""
        self._plan([0])
        frame = self._advance(0)
        self.codec = self._packets.context.name
        self._use(self._packets, self._index)
        return frame

    def _convert(self, frame: av.VideoFrame, out: np.ndarray) -> None:
        """Write a frame to `out`, uint8 RGB (h w 3): upright and resized."""
        picture = self._picture
        image = self._to_rgb(frame, picture.width, picture.height)
        image = (image.swapaxes(0, 1) if picture.swap else image)[picture.upright]
        if image.shape == out.shape:
            out[:] = image
        else:
            resize(image, self.height, self.width, out)

    def _plan(self, wanted: list[int]) -> None:
        """Announce the frames of a read, in ascending order."""
        if wanted and self._stop is not None:
            # The decoder was drained for the last read, and this read continues there.
            ahead = self._index.start[wanted[0]] <= self._stop + 1
            self._once &= not (self._at < wanted[0] and ahead)
        self._wanted, self._is_wanted = wanted, set(wanted)
        self._last = wanted[-1] if wanted else -1

    def _advance(self, wanted: int) -> av.VideoFrame:
        """The frame `wanted`: decodes on to it, or starts again at a keyframe nearer to it."""
        index = self._index
        beyond = self._stop is not None and index.packet[wanted] > self._stop
        if wanted < self._at or index.start[wanted] > self._fed + 1 or beyond:
            self._restart(wanted)
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
            raise VideoError(self.path, f"damaged: {whole} of {len(index.start)} frames decode")
        if not self._early:
            self._start_early()
            frame = self._advance(wanted)
            if self._known and isinstance(self._packets, Direct):  # it helped
                self._keep(replace(self._known, index=self._index))
            return frame
        if self._careful:
            self._count_instead()
        else:
            self._take_care()
        return self._advance(wanted)

    def _start_early(self):
        """Gives up starting anywhere but at the first keyframe.

        What a file calls a keyframe may be where an intra refresh begins, which shows no whole
        frame until it is through.
        """
        self._early = True
        first = np.full_like(self._index.start, self._index.start.min())
        self._index = replace(self._index, start=first)
        self._restart(0)

    def _take_care(self) -> None:
        """Gives up what saves time: the places of packets, and draining the decoder."""
        self._careful = True
        self._packets.close()
        demuxed = self._packets = Demuxed(self._source, self.path, self._threads)
        self._use(demuxed, read_index(demuxed.container, demuxed.stream, self.path)[0])

    def _count_instead(self) -> None:
        """Gives up on timestamps: a frame did not come out at the time its packet states."""
        first = np.full_like(self._index.start, self._index.start.min())
        self._index = replace(self._index, start=first)
        self._last = -1  # leave nothing out
        self._restart(0)
        whole = sum(not frame.is_corrupt for frame in self._decoded)
        self._restart(0)
        frames = len(first)
        if whole < frames:  # some are missing, so counting gives the rest wrong numbers
            raise VideoError(self.path, f"damaged: {whole} of {frames} frames decode")
        self._index = replace(self._index, counting=True, packet=first[:0])
        self._restart(0)

    def _restart(self, wanted: int) -> None:
        """Begin a run: packets from a keyframe on, until all frames that are wanted are out."""
        index = self._index
        packet = int(index.start[wanted])
        self._at = self._fed = -1
        self._due = index.frame_of.get(index.pts[packet], -1)
        self._stop = self._end_of_run(wanted)
        self._decoded = self._decode(packet)

    def _end_of_run(self, wanted: int) -> int | None:
        """The packet after which the decoder is drained: what is wanted next starts further on.

        Else it would have to decode more frames before it hands out those that are in it. None is
        for a run without an end, which a later read can go on with.
        """
        index = self._index
        if index.counting or self._careful:
            return None
        stop = int(index.packet[wanted])
        for frame in self._wanted[bisect.bisect(self._wanted, wanted) :]:
            if index.start[frame] > stop + 1:
                return stop
            stop = max(stop, int(index.packet[frame]))
        return stop if self._once else None

    def _decode(self, start: int) -> Iterator[av.VideoFrame]:
        """Frames as they are shown, beginning with the packet number `start`."""
        index, stop = self._index, self._stop
        numbered = self._packets.start(index, start, stop)
        context = self._packets.context
        skipping = None
        for fed, packet in numbered:
            self._fed = max(self._fed, fed)  # the flush at the end has no number
            number = index.frame_of.get(packet.pts, -1) if packet else -1
            # A frame no other leans on need not be decoded, unless a later read may go on to it.
            skip = 0 <= number < self._last and number not in self._is_wanted and fed != start
            if skip != skipping:
                context.skip_frame, skipping = "NONREF" if skip else "DEFAULT", skip
            try:
                yield from context.decode(packet)
                if fed == stop:
                    yield from context.decode(None)
                    return
            except InvalidDataError:  # one frame less: those after it would get wrong numbers
                if index.counting:
                    return


def _first_frame(direct: Direct, index: Index) -> av.VideoFrame | None:
    """Decode the first frame without a demuxer; None if it does not come out."""
    wanted = int(index.packet[0])
    with contextlib.suppress(FFmpegError, VideoError, ValueError):
        for number, packet in direct.start(index, int(index.start[0])):
            frames = direct.context.decode(packet)
            if number == wanted:
                frames += direct.context.decode(None)
            for frame in frames:
                if frame.pts == wanted:
                    return frame
    return None


def fit(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) with that short side and the same aspect ratio; 0 changes nothing."""
    scale = (short_side or min(height, width)) / min(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def resize(image: np.ndarray, height: int, width: int, out: np.ndarray | None = None) -> np.ndarray:
    """An image (h w c) at another size: OpenCV's bilinear, which the published recipes used.

    It is also the fastest: FFmpeg's scaler takes two to three times as long for the same.
    """
    if image.shape[:2] == (height, width):
        return image
    import cv2  # not to make everyone who decodes wait for it

    image = np.ascontiguousarray(image)
    return cv2.resize(image, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
