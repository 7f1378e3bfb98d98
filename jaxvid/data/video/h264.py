"""The picture of an H.264 stream, read from its parameters without decoding a frame.

Decoding a frame only to learn its size takes longer than everything else that opening a file needs.
The names of syntax elements are those of the standard, ITU-T H.264, 7.3.2.1 and annex E.
"""

import contextlib
from dataclasses import dataclass

from jaxvid.data.video.colors import HDR
from jaxvid.data.video.index import Picture

# Profiles whose parameters state the format of chroma.
HIGH = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
PARAMETERS, MESSAGES, DELIMITER, SLICES = 7, 6, 9, (1, 5)  # types of NAL units
# Messages (SEI) that change neither the size nor the orientation nor the colors: buffering, times,
# captions, settings of the encoder, recovery points, brightness of the display.
HARMLESS = {0, 1, 4, 5, 6, 137, 144}
READ = 4096  # bytes of the first packet that are looked at


@dataclass(frozen=True)
class Parameters:
    """Size in pixels, and FFmpeg's number of the transfer function; 0 if it is not stated."""

    width: int
    height: int
    transfer: int


class _Bits:
    """Numbers in a row of bits."""

    def __init__(self, data: bytes):
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def fixed(self, count: int) -> int:
        """A number of `count` bits."""
        self._left -= count
        if self._left < 0:
            raise ValueError("the end of the bits")
        return self._value >> self._left & ((1 << count) - 1)

    def number(self) -> int:
        """A number in an Exp-Golomb code. What it stands for if signed is not needed here."""
        zeros = self._left - (self._value & ((1 << self._left) - 1)).bit_length()
        self.fixed(zeros)
        return self.fixed(zeros + 1) - 1

    def skip(self, count: int) -> None:
        """Read `count` numbers in that code."""
        for _ in range(count):
            self.number()


def picture_of(
    header: bytes, packet: bytes, width: int, height: int, transfer: int
) -> Picture | None:
    """Return the `Picture` of the first frame; None if only decoding can tell.

    Args:
      header: the header of the decoder in an mp4 file (avcC).
      packet: READ bytes of the first packet, or all of it.
      width, height, transfer: as the container states them.
    """
    with contextlib.suppress(IndexError, ValueError):
        if header[5] & 31 != 1 or not _is_plain(packet, 1 + (header[4] & 3)):
            return None
        length = int.from_bytes(header[6:8])
        found = parameters(header[8 : 8 + length])
        if found and (found.width, found.height) == (width, height):
            return Picture(width, height, hdr=HDR.get(found.transfer or transfer, ""))
    return None


def parameters(unit: bytes) -> Parameters | None:
    """Read a sequence parameter set; None if it has scaling matrices, which are rare.

    Raises:
      ValueError: it ends too early.
    """
    bits = _Bits(unit.replace(b"\0\0\3", b"\0\0"))
    nal, profile, _ = bits.fixed(8), bits.fixed(8), bits.fixed(16)
    bits.number()
    if nal & 31 != PARAMETERS:
        return None
    chroma = 1
    if profile in HIGH:
        chroma = bits.number()
        if chroma == 3:
            bits.fixed(1)
        bits.skip(2)  # bit depths
        bits.fixed(1)
        if bits.fixed(1):
            return None
    bits.number()
    order = bits.number()  # pic_order_cnt_type
    if order == 0:
        bits.number()
    elif order == 1:
        bits.fixed(1)
        bits.skip(2)
        bits.skip(bits.number())
    bits.number()
    bits.fixed(1)
    columns, rows = 1 + bits.number(), 1 + bits.number()
    fields = 2 - bits.fixed(1)  # frame_mbs_only_flag
    if fields == 2:
        bits.fixed(1)
    bits.fixed(1)
    left, right, top, bottom = (bits.number() for _ in range(4)) if bits.fixed(1) else (0,) * 4
    width = 16 * columns - (left + right) * (2 if chroma in (1, 2) else 1)
    height = 16 * rows * fields - (top + bottom) * fields * (2 if chroma == 1 else 1)
    return Parameters(width, height, _transfer(bits) if bits.fixed(1) else 0)


def _transfer(bits: _Bits) -> int:
    """The transfer function in the usability information."""
    if bits.fixed(1) and bits.fixed(8) == 255:  # the shape of a pixel
        bits.fixed(32)
    if bits.fixed(1):
        bits.fixed(1)
    if bits.fixed(1):
        bits.fixed(4)
        if bits.fixed(1):
            return bits.fixed(24) >> 8 & 255
    return 0


def _is_plain(packet: bytes, width: int) -> bool:
    """Return whether nothing before the first slice of a packet changes what its frame is."""
    at = 0
    while at + width < len(packet):
        end = at + width + int.from_bytes(packet[at : at + width])
        unit = packet[at + width : end]
        kind = unit[0] & 31
        if kind in SLICES:
            return True
        if end > len(packet) or kind not in (MESSAGES, DELIMITER):
            return False
        if kind == MESSAGES and not _messages(unit) <= HARMLESS:
            return False
        at = end
    return False


def _messages(unit: bytes) -> set[int]:
    """The types of the messages in a unit."""
    data, at, found = unit.replace(b"\0\0\3", b"\0\0"), 1, set()
    while at + 2 <= len(data) and data[at:] != b"\x80":
        values = []
        for _ in ("type", "size"):
            value = 0
            while data[at] == 255:
                value, at = value + 255, at + 1
            values.append(value + data[at])
            at += 1
        found.add(values[0])
        at += values[1]
    return found
