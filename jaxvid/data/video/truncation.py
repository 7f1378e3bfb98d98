"""Check for a missing end of a video file, as after a download that was interrupted.

FFmpeg reads what is there and says nothing. But most containers state how long they are, or are
made of packets, and the cut lies inside one. Lengths in seconds are not used: they are wrong in
many good files. A file that states nothing, as live recordings do, counts as whole, and so does one
of bare packets that ends between two of them.
"""

import io
import os
import struct
from collections.abc import Callable
from typing import BinaryIO

from jaxvid.data.video.containers import VideoError

TAIL = 1 << 16  # bytes; more than the longest page of Ogg, and than the longest packet of MPEG
FLV_TAGS = (b"\x08", b"\x09", b"\x12")  # sound, video, data
FRAGMENT = (b"styp", b"sidx", b"moof", b"mdat", b"mfra")  # boxes of fragmented mp4
SLACK = 8  # bytes by which some programs state too much in a RIFF: they count its header twice


def check(source: str | os.PathLike | bytes, path: str, kind: str) -> None:
    """Raises VideoError where the end of a file, or of the bytes of one, is missing.

    Args:
      kind: FFmpeg's name of its container.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        if why := missing(file, kind):
            raise VideoError(path, f"truncated: {why}")


def missing(file: BinaryIO, kind: str) -> str:
    """Why the end of an open file must be missing; '' where nothing says so."""
    size = file.seek(0, os.SEEK_END)
    head = _read(file, 0, TAIL)
    for begins, look in KINDS.items():
        if head.startswith(begins, 4 if begins == b"ftyp" else 0):
            return look(file, head, size)
    # Its packets begin with a letter, of which the rows of a gray picture may consist.
    return _transport_stream(file, head, size) if kind == "mpegts" else ""


def _stated(end: int, size: int) -> str:
    return f"{size:,} of {end:,} bytes are there" if end > size else ""


def _matroska(file: BinaryIO, head: bytes, size: int) -> str:
    """The segment, which is all after the header, states its size unless it was written live."""
    at = 0
    while at + 16 < len(head):
        length = _width(head[at])
        name = head[at : at + length]
        at += length
        width = _width(head[at])
        value = int.from_bytes(head[at : at + width]) & ((1 << 7 * width) - 1)
        at += width
        unknown = value == (1 << 7 * width) - 1
        if unknown or name == b"\x18\x53\x80\x67":
            return "" if unknown else _stated(at + value, size)
        at += value
    return ""


def _width(first: int) -> int:
    """Bytes of a number of EBML that begins with this one."""
    return 9 - max(first, 1).bit_length()


def _riff(file: BinaryIO, head: bytes, size: int) -> str:
    """Each RIFF of an avi states its size; 0 and -1 mean that it was written live."""
    at = 0
    while at + 8 <= size and (start := _read(file, at, 8)).startswith(b"RIFF"):
        (length,) = struct.unpack_from("<I", start, 4)
        if length in (0, 0xFFFFFFFF):
            return ""
        at += 8 + length + length % 2
    return _stated(at, size) if at > size + SLACK else ""


def _asf(file: BinaryIO, head: bytes, size: int) -> str:
    """The file properties hold the size of the file, unless it is a broadcast."""
    at = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    if at < 0 or at + 92 > len(head):
        return ""
    (stated,), (flags,) = (
        struct.unpack_from(kind, head, at + place) for kind, place in (("<Q", 40), ("<I", 88))
    )
    return "" if flags & 1 else _stated(stated, size)


def _flv(file: BinaryIO, head: bytes, size: int) -> str:
    """A whole file ends with the size of its last tag. One that was written live may end anyhow.

    Where something else comes last, which may have been added, all tags are followed.
    """
    if not max(_amf_number(head, b"filesize"), _amf_number(head, b"duration")) > 0:
        return ""
    length = int.from_bytes(_read(file, size - 4, 4))
    tag = _read(file, size - 4 - length, 4)
    if tag[:1] in FLV_TAGS and int.from_bytes(tag[1:]) + 11 == length:
        return ""
    at = int.from_bytes(head[5:9]) + 4
    while (tag := _read(file, at, 11))[:1] in FLV_TAGS:
        at += 11 + int.from_bytes(tag[1:4]) + 4
    return "the file ends inside a tag" if at > size + 4 or at - 4 < size < at else ""


def _amf_number(head: bytes, key: bytes) -> float:
    """A number in the metadata of an flv, 0 where it is not there."""
    at = head.find(key + b"\0") + len(key) + 1
    return struct.unpack_from(">d", head, at)[0] if len(key) < at <= len(head) - 8 else 0.0


def _ogg(file: BinaryIO, head: bytes, size: int) -> str:
    tail = _read(file, max(size - TAIL, 0), TAIL)
    page = tail[tail.rfind(b"OggS\0") :]
    if not page.startswith(b"OggS"):
        return ""
    segments = page[26] if len(page) > 26 else 255
    end = 27 + segments + sum(page[27 : 27 + segments])
    return "the file ends inside a page" if end > len(page) else ""


def _program_stream(file: BinaryIO, head: bytes, size: int) -> str:
    """The packets of the last pack state their lengths."""
    tail = _read(file, max(size - TAIL, 0), TAIL)
    at = start = tail.rfind(b"\0\0\1\xba")
    if start < 0:
        return ""
    if at + 14 > len(tail):
        return "the file ends inside a pack"
    at += 14 + (tail[at + 13] & 7) if tail[at + 4] >> 6 == 1 else 12  # MPEG-2, MPEG-1
    while tail[at : at + 3] == b"\0\0\1" and at + 6 <= len(tail) and tail[at + 3] > 0xBA:
        at += 6 + int.from_bytes(tail[at + 4 : at + 6])
    return "the file ends inside a packet" if at > len(tail) else ""


def _transport_stream(file: BinaryIO, head: bytes, size: int) -> str:
    """Packets are of one length and begin with one byte, in m2ts after a time of four."""
    for length, before in ((188, 0), (192, 4), (204, 0)):
        for start in range(length):
            if len(head) > start + 5 * length and set(head[start : 6 * length : length]) == {0x47}:
                first = start - before
                rest = (size - first) % length
                begun = _read(file, size - rest, rest)[before : before + 1] in (b"\x47", b"")
                return "the file ends inside a packet" if rest and begun else ""
    return ""


def _gif(file: BinaryIO, head: bytes, size: int) -> str:
    """A whole file ends with an empty block and a semicolon.

    Where it does not, as some programs add bytes to it, all blocks are followed.
    """
    if b"\0;" in _read(file, max(size - 64, 0), 64):
        return ""
    at = 13 + _gif_colors(head[10:11])
    while (block := _read(file, at, 10))[:1] in (b"!", b","):
        at += 2 if block.startswith(b"!") else 11 + _gif_colors(block[9:])
        while (part := _read(file, at, 1)) > b"\0":
            at += 1 + part[0]
        at += 1
    return "the file ends inside a block" if at > size else ""


def _gif_colors(flags: bytes) -> int:
    """Bytes of the table of colors that these flags announce."""
    return 6 << (flags[0] & 7) if flags and flags[0] & 0x80 else 0


def _boxes(file: BinaryIO, head: bytes, size: int) -> str:
    """Boxes state their sizes. Data without fragments is checked by its list, see `decode`.

    What is no part of a fragment may have been added behind the last one.
    """
    at, checked = 0, False
    while at + 16 <= size:
        start = _read(file, at, 16)
        length, kind = struct.unpack_from(">I4s", start)
        checked |= kind == b"moof"
        length = int.from_bytes(start[8:]) if length == 1 else length
        if length < 8:  # 0: all the rest
            return ""
        at += length
        if at > size and (kind == b"moov" or (checked and kind in FRAGMENT)):
            return _stated(at, size)
    return ""


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(max(at, 0))
    return file.read(count)


KINDS: dict[bytes, Callable[[BinaryIO, bytes, int], str]] = {
    b"\x1aE\xdf\xa3": _matroska,
    b"RIFF": _riff,
    b"0&\xb2u\x8ef\xcf\x11": _asf,
    b"FLV": _flv,
    b"OggS": _ogg,
    b"\0\0\1\xba": _program_stream,
    b"GIF8": _gif,
    b"ftyp": _boxes,
}  # what files begin with, ftyp after 4 bytes
