"""Conversion of the colors of a video to RGB, with the values that the ffmpeg program gives.

The matrix (BT.601, BT.709, BT.2020) and the range are those that the file states, else FFmpeg's
default. Brightness is not changed: HDR video is not tone mapped, about which there is a warning.
"""

import logging
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import VideoReformatter

logger = logging.getLogger(__name__)

# Formats that both ways below convert alike, bit for bit, if the height is even. Any other with
# chroma at a lower resolution, such as those of 10 bits, depends on how that is interpolated.
PLAIN = frozenset(
    f"{yuv}{chroma}p" for yuv in ("yuv", "yuvj") for chroma in ("420", "422", "444")
) | {"rgb24", "bgr24", "gray"}
HDR = {16: "PQ", 18: "HLG"}  # by FFmpeg's number of the transfer function


class ToRGB:
    """Converts the frames of a video to RGB."""

    def __init__(self):
        self._reformatter = VideoReformatter()
        self._graph: Any = None
        self._kind: tuple = ()

    def __call__(self, frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
        """The frame at a size, uint8 (h w 3)."""
        if frame.format.name not in PLAIN or frame.height % 2:
            frame = self._filtered(frame)
        rgb = self._reformatter.reformat(frame, width, height, format="rgb24", threads=1)
        return rgb.to_ndarray()

    def _filtered(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame as RGB, by the filter that the ffmpeg program uses."""
        tags = int(frame.colorspace), int(frame.color_range)
        kind = frame.width, frame.height, frame.format.name, *tags
        if kind != self._kind:
            self._kind, self._graph = kind, _graph(*kind)
        self._graph.push(frame)
        return self._graph.pull()


def _graph(width: int, height: int, format: str, matrix: int, range: int) -> Graph:
    graph = Graph()
    if hasattr(graph, "threads"):  # PyAV 18
        graph.threads = 1
    about = {"video_size": f"{width}x{height}", "pix_fmt": format, "time_base": "1/1000"}
    steps = [
        graph.add("buffer", **about, colorspace=str(matrix), range=str(range)),
        graph.add("format", pix_fmts="rgb24"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*steps).configure()
    return graph


def hdr(frame: av.VideoFrame) -> str:
    """The name of the transfer function of a frame of high dynamic range, else ""."""
    return HDR.get(int(frame.color_trc), "")


def warn_of_hdr(path: str, kind: str) -> None:
    """Say of the first file of a kind in this process that it is not tone mapped."""
    if kind not in _warned:
        _warned.add(kind)
        logger.warning(
            f"{path}: HDR video ({kind}). It is converted to RGB without tone mapping, as by"
            " ffmpeg, so it looks pale. Tone map such files first if the model was trained on"
            " ordinary video. Further files of this kind are not named"
        )


_warned: set[str] = set()
