"""Canvases for plots: a picture, or SVG with the colors of the page that contains it.

Coordinates are pixels from the upper left corner. Colors are names of `COLORS`. On a page, they are
CSS variables with the same names, so that a page can have other colors in dark mode.
"""

import base64
from collections.abc import Sequence
from html import escape
from typing import Protocol

import cv2
import numpy as np

from jaxvid.draw import text as lettering

COLORS = {
    "paper": (255, 255, 255), "ink": (30, 34, 40), "muted": (105, 112, 122),
    "grid": (224, 227, 231),
    "s0": (31, 100, 200), "s1": (222, 105, 20), "s2": (30, 140, 90), "s3": (180, 50, 130),
    "s4": (130, 110, 20), "s5": (100, 80, 200),
}  # fmt: skip
SERIES = tuple(name for name in COLORS if name[0] == "s")

Points = Sequence[tuple[float, float]]


class Canvas(Protocol):
    """Interface of a canvas, with its width and height in pixels."""

    width: int
    height: int

    def line(self, points: Points, color: str, thick: float = 1.0) -> None:
        """Draw a line through points."""
        ...

    def dot(self, x: float, y: float, color: str) -> None: ...

    def rect(
        self, x: float, y: float, w: float, h: float, color: str, share: float = 1.0, note: str = ""
    ) -> None:
        """Draw a filled rectangle with opacity `share`. `note` is a tooltip in SVG."""
        ...

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: int,
        color: str = "ink",
        anchor: str = "start",
        upright: bool = False,
    ) -> None:
        """Draw a line of text, vertically centered at y, with its `anchor` at x.

        With `upright`, the text runs from bottom to top: it is centered at x, with its `anchor` at
        y.
        """
        ...


class Picture:
    """A Canvas of uint8 (h, w, 3) `pixels`, with `scale` pixels per unit of its coordinates."""

    def __init__(self, width: int, height: int, scale: int = 2):
        self.width, self.height, self._scale = width, height, scale
        self.pixels = np.full((height * scale, width * scale, 3), COLORS["paper"], np.uint8)

    def line(self, points, color, thick=1.0):
        fine = np.rint(np.asarray(points, float).reshape(-1, 1, 2) * self._scale * 16).astype(int)
        thick = max(1, round(thick * self._scale))
        cv2.polylines(self.pixels, [fine], False, COLORS[color], thick, cv2.LINE_AA, 4)

    def dot(self, x, y, color):
        place = tuple(round(v * self._scale * 16) for v in (x, y))
        radius = round(2.5 * self._scale * 16)
        cv2.circle(self.pixels, place, radius, COLORS[color], cv2.FILLED, cv2.LINE_AA, 4)

    def rect(self, x, y, w, h, color, share=1.0, note=""):
        left, top, right, bottom = (round(v * self._scale) for v in (x, y, x + w, y + h))
        ground = self.pixels[top:bottom, left:right]
        ground[:] = np.rint(ground * (1 - share) + np.array(COLORS[color]) * share)

    def text(self, x, y, text, size, color="ink", anchor="start", upright=False):
        mask = lettering.letters(text, size * self._scale)
        mask = np.rot90(mask) if upright else mask
        high, wide = mask.shape
        back = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
        if upright:
            left, top = x * self._scale - wide / 2, y * self._scale - (1 - back) * high
        else:
            left, top = x * self._scale - back * wide, y * self._scale - high / 2
        lettering.blend(self.pixels, mask, (round(left), round(top)), COLORS[color])


class Svg:
    """A Canvas that `str()` converts to an <svg> element."""

    def __init__(self, width: int, height: int, title: str):
        self.width, self.height, self._title = width, height, title
        self._parts: list[str] = []

    def line(self, points, color, thick=1.0):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._add(f'<polyline points="{path}" stroke="var(--{color})" stroke-width="{thick:g}"/>')

    def dot(self, x, y, color):
        self._add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="var(--{color})"/>')

    def rect(self, x, y, w, h, color, share=1.0, note=""):
        place = f'x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"'
        ink = f'fill="var(--{color})" fill-opacity="{share:.3g}"'
        inside = f"<title>{escape(note)}</title>" if note else ""
        self._add(f"<rect {place} {ink}>{inside}</rect>")

    def text(self, x, y, text, size, color="ink", anchor="start", upright=False):
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if upright else ""
        self._add(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="var(--{color})"'
            f' text-anchor="{anchor}"{turn}>{escape(text)}</text>'
        )

    def _add(self, part: str):
        self._parts.append(part)

    def __str__(self):
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" width="{self.width}" role="img"'
            f' aria-label="{escape(self._title)}" fill="none" dominant-baseline="central">'
            f"{''.join(self._parts)}</svg>"
        )


def png(pixels: np.ndarray) -> bytes:
    """Return an RGB picture, uint8 (h, w, 3), as the bytes of a PNG file."""
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


def jpeg(pixels: np.ndarray, quality: int = 85) -> bytes:
    """Return an RGB picture, uint8 (h, w, 3), as the bytes of a JPEG file."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", pixels[..., ::-1], options)[1].tobytes()


def data_uri(content: bytes) -> str:
    """Return the data URI of a picture, with which it is embedded in a page."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
