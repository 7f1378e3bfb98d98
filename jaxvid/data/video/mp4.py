"""The list of packets of an mp4 or mov file, read from its header without a demuxer.

FFmpeg's demuxer probes a file when it opens it, and gives all packets one by one. This takes longer
than decoding several frames. The header of an mp4 file lists them all. `read_table` gives what the
demuxer would give, for files of the usual kind: H.264 or HEVC, one video track, no fragments, and
an edit list that leaves out no frame. Any other file has no table here, and needs the demuxer.

Shape letters: p packets.
"""

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from jaxvid.data.video import h264
from jaxvid.data.video.index import Picture

CODECS = {b"avc1": ("h264", b"avcC"), b"hvc1": ("hevc", b"hvcC"), b"hev1": ("hevc", b"hvcC")}
IN_THIS_FILE = struct.pack(">III4sI", 0, 1, 12, b"url ", 1)  # one reference to data
IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
# Boxes beside those that are read, and that change nothing: padding, sizes of a pixel and of
# buffers, metadata, and hints about the dependencies of samples.
HARMLESS = {
    b"moov": {b"mvhd", b"trak", b"iods", b"udta", b"meta", b"free", b"skip"},
    b"trak": {b"tkhd", b"edts", b"mdia", b"udta", b"meta", b"tref", b"free", b"tapt"},
    b"edts": {b"elst"},
    b"stbl": {*(b"stsd", b"stts", b"ctts", b"stss", b"stsc", b"stsz", b"stco", b"co64"), b"sdtp"},
    b"entry": {b"avcC", b"hvcC", b"colr", b"pasp", b"btrt", b"free"},
}
UNKNOWN = 2  # FFmpeg's number of colors that are not stated
MOST = 1 << 31  # times and rates beyond this are rounded by FFmpeg


class _Unusual(Exception):
    """This file needs the demuxer."""


@dataclass(frozen=True)
class Table:
    """Packets of a video track, as FFmpeg's demuxer gives them.

    Attributes:
      codec: FFmpeg's name of it.
      extradata: header of the decoder.
      attributes: see packets.ATTRIBUTES.
      pts: int64 (p,), presentation timestamps.
      key: bool (p,), whether decoding can start with this packet.
      at, size: int64 (p,), the first byte and the number of bytes in the file.
      tick: seconds that a unit of `pts` lasts.
      rate: frames per second, on average.
      last: units of `pts` that the last packet lasts.
      picture: of the first frame; None if only decoding can tell.
    """

    codec: str
    extradata: bytes
    attributes: dict[str, Any]
    pts: np.ndarray
    key: np.ndarray
    at: np.ndarray
    size: np.ndarray
    tick: Fraction
    rate: Fraction
    last: int
    picture: Picture | None


def read_table(file: int) -> Table | None:
    """Read the packets of an open file; None if it needs the demuxer.

    Args:
      file: its descriptor.
    """
    with contextlib.suppress(_Unusual, struct.error, ValueError, KeyError, IndexError):
        return _table(file)
    return None


def _require(condition: object) -> None:
    if not condition:
        raise _Unusual


def _table(file: int) -> Table:
    moov = _read_moov(file)
    boxes = _children(moov, 0, b"moov")
    videos = []
    for trak in boxes[b"trak"]:
        inner = _children(trak, 0)
        _require(b"chap" not in b"".join(inner.get(b"tref", ())))  # thumbnails of chapters
        if _children(inner[b"mdia"][0], 0)[b"hdlr"][0][8:12] not in (b"soun", b"hint", b"tmcd"):
            videos.append(trak)
    _require(len(videos) == 1)
    track = _children(videos[0], 0, b"trak")
    media = _children(track[b"mdia"][0], 0)
    _require(media[b"hdlr"][0][8:12] == b"vide")
    for matrix in (boxes[b"mvhd"][0][-64:-28], track[b"tkhd"][0][-44:-8]):
        _require(struct.unpack(">9i", matrix) == IDENTITY)
    info = _children(media[b"minf"][0], 0)
    _require(info[b"dinf"][0][8:] == IN_THIS_FILE)
    samples = _children(info[b"stbl"][0], 0, b"stbl")
    unit, units = _scale(media[b"mdhd"][0]), _scale(boxes[b"mvhd"][0])
    return _of_samples(file, samples, track.get(b"edts", []), unit, units)


def _of_samples(file: int, samples: dict, edits: list, unit: int, units: int) -> Table:
    """The table of a track.

    Args:
      samples: boxes of the lists of samples.
      edits: boxes of the edit list, if there is one.
      unit, units: ticks per second of the track and of the movie.
    """
    codec, extradata, attributes = _entry(samples[b"stsd"][0])
    size = _sizes(samples[b"stsz"][0])
    count = len(size)
    at = _positions(samples, size)
    _require(count and size.min() > 0 and (at + size).max() <= os.fstat(file).st_size)
    runs, deltas = _pairs(samples[b"stts"][0], ">u4")
    _require(runs.sum() == count and deltas.min() > 0 and deltas.max() < MOST)
    duration = np.repeat(deltas, runs)
    shift = np.zeros(count, np.int64)
    if b"ctts" in samples:
        runs, offsets = _pairs(samples[b"ctts"][0], ">i4")
        _require(runs.sum() == count and np.abs(offsets).max() < MOST >> 4)
        shift = np.repeat(offsets, runs)
    pts = np.cumsum(duration) - duration + shift
    key = np.ones(count, bool)
    if b"stss" in samples:
        (keys,) = _rows(samples[b"stss"][0], ">u4", 1)
        _require(keys[0] == 1 and (np.diff(keys) > 0).all() and keys[-1] <= count)
        key[:] = False
        key[keys - 1] = True
    rate = Fraction(unit * count, int(duration.sum()))
    _require(max(rate.numerator, rate.denominator) < MOST and len(np.unique(pts)) == count)
    if edits:
        ends = (pts + duration)[key & (np.arange(count) < count - 1)]
        end = max(int(ends.max(initial=0)), int(pts.max()))
        _require_whole(edits, int(pts.min()), end, unit, units)
        pts -= pts.min()
    # The number of packets that come before a frame and are shown after it.
    attributes["reorder_depth"] = _depth(pts)
    tick = Fraction(1, unit)
    last, picture = int(duration[-1]), None
    if codec == "h264":
        packet = os.pread(file, min(int(size[0]), h264.READ), int(at[0]))
        stated = (attributes[name] for name in ("width", "height", "color_trc"))
        picture = h264.picture_of(extradata, packet, *stated)
    return Table(codec, extradata, attributes, pts, key, at, size, tick, rate, last, picture)


def _require_whole(edits: list, first: int, end: int, unit: int, units: int) -> None:
    """Require one edit, from the first frame until the last one begins and no keyframe follows."""
    _require(len(edits) == 1)
    (entries,) = _children(edits[0], 0, b"edts")[b"elst"]
    (count,) = struct.unpack_from(">I", entries, 4)
    duration, begin, speed = struct.unpack_from(">QqI" if entries[0] else ">IiI", entries, 8)
    _require(count == 1 and 0 <= begin <= first and speed == 1 << 16 and duration and units)
    _require(end < begin + (duration - 1) * unit // units)


def _depth(pts: np.ndarray) -> int:
    """The number of frames that a decoder must hold back to give them in the order of `pts`."""
    order = np.argsort(pts, kind="stable")
    # A frame that is shown as number r and comes as number p needs p - r frames after it at most.
    return int((order - np.arange(len(pts))).max(initial=0))


def _read_moov(file: int) -> bytes:
    at, size = 0, os.fstat(file).st_size
    _require(os.pread(file, 8, 0)[4:] == b"ftyp")
    while True:
        length, kind, longer = struct.unpack(">I4sQ", os.pread(file, 16, at))
        length = longer if length == 1 else length
        _require(8 <= length <= size - at and kind not in (b"moof", b"sidx", b"styp"))
        if kind == b"moov":
            return os.pread(file, length, at)[8:]
        at += length


def _boxes(data: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the boxes in `data` from `at` on."""
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        _require(8 <= length <= len(data) - at)
        yield kind, data[at + 8 : at + length]
        at += length


def _children(data: bytes, at: int, parent: bytes = b"") -> dict[bytes, list[bytes]]:
    """{name: contents} of the boxes in `data`. Of a `parent`, all must be HARMLESS."""
    found: dict[bytes, list[bytes]] = {}
    for kind, content in _boxes(data, at):
        found.setdefault(kind, []).append(content)
    _require(not parent or found.keys() <= HARMLESS[parent])
    return found


def _scale(header: bytes) -> int:
    """Ticks per second, from the header of a movie or of its media."""
    (scale,) = struct.unpack_from(">I", header, 20 if header[0] else 12)
    _require(header[0] < 2 and 0 < scale < MOST)
    return scale


def _rows(box: bytes, type: str, columns: int, head: int = 4) -> np.ndarray:
    """The columns of a table, int64 (columns, n), whose length stands after `head` bytes."""
    (count,) = struct.unpack_from(">I", box, head)
    values = np.frombuffer(box, type, count * columns, head + 4)
    return values.reshape(count, columns).T.astype(np.int64)


def _pairs(box: bytes, type: str) -> tuple[np.ndarray, np.ndarray]:
    """The counts and values of a table of runs. Values may be signed, counts are not."""
    runs, values = _rows(box, type, 2)
    _require((runs >= 0).all())
    return runs, values


def _sizes(box: bytes) -> np.ndarray:
    size, count = struct.unpack_from(">II", box, 4)
    return np.full(count, size, np.int64) if size else _rows(box, ">u4", 1, head=8)[0]


def _positions(samples: dict, size: np.ndarray) -> np.ndarray:
    """The first byte of each sample. Samples lie in chunks, one after another."""
    wide = b"co64" in samples
    (chunks,) = _rows(samples[b"co64" if wide else b"stco"][0], ">u8" if wide else ">u4", 1)
    first, each, entry = _rows(samples[b"stsc"][0], ">u4", 3)
    _require(first[0] == 1 and (np.diff(first) > 0).all() and (entry == 1).all())
    _require(first[-1] <= len(chunks))
    counts = np.repeat(each, np.diff(first, append=len(chunks) + 1))
    _require(counts.sum() == len(size))
    before = np.cumsum(size) - size
    starts = np.cumsum(counts) - counts
    filled = counts > 0
    return before + np.repeat(chunks[filled] - before[starts[filled]], counts[filled])


def _entry(box: bytes) -> tuple[str, bytes, dict[str, Any]]:
    """Codec, header and attributes of the decoder, from the only description of samples."""
    count, length, kind = struct.unpack_from(">II4s", box, 4)
    _require(count == 1 and kind in CODECS and length == len(box) - 8)
    codec, header = CODECS[kind]
    width, height = struct.unpack_from(">HH", box, 40)
    found = _children(box, 8 + 86, b"entry")
    _require(len(found[header]) == 1 and width and height)
    (depth,) = struct.unpack_from(">H", box, 90)
    attributes: dict[str, Any] = {"width": width, "height": height, "codec_tag": kind.decode()}
    attributes |= {"bits_per_coded_sample": depth, "color_trc": UNKNOWN}
    for color in found.get(b"colr", []):
        _require(len(found[b"colr"]) == 1 and color[:4] == b"nclx")
        names = ("color_primaries", "color_trc", "colorspace")
        attributes |= dict(zip(names, struct.unpack_from(">HHH", color, 4), strict=True))
        attributes["color_range"] = 1 + (color[10] >> 7)
    return codec, found[header][0], attributes
