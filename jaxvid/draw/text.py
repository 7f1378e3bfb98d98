"""Text on pictures, in all scripts for which this machine has a font.

Pillow draws the letters. ASCII uses Pillow's own font. Other characters use the first font file of
this machine that has them. JAXVID_FONT is a list of font files to try first, separated as in PATH.
A character that no font has is drawn without its accent, or as a box; a message reports the first.
"""

import logging
import os
import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

logger = logging.getLogger(__name__)

BUILT_IN = ""  # name of Pillow's own font
NO_CHARACTER = "\U0010ffff"  # a code point that no font has
reported: set[str] = set()  # advice that was already printed
FOLDERS = (
    "/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts",
    "/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts", "C:/Windows/Fonts",
)  # fmt: skip
# These faces are used last: plain ones are easier to read, and large families look more uniform.
SPECIAL = re.compile("bold|italic|oblique|serif|mono|light|thin|black|medium|condensed|emoji")
USUAL = re.compile("dejavusans|notosans|arial|liberationsans|pingfang|msyh|wqy")


def write(picture: np.ndarray, text: str, at: tuple[int, int], size: int, shade: Any):
    """Write one line of text onto a picture in place. Text outside the picture is cut off.

    Args:
      picture: uint8 (h, w, 3).
      text: the text.
      at: x, y of the upper left corner of the line.
      size: size of the letters in pixels; the height of the line is `line(size)`.
      shade: color, RGB.
    """
    blend(picture, letters(text, size), at, shade)


def blend(picture: np.ndarray, mask: np.ndarray, at: tuple[int, int], shade: Any):
    """Color a picture in place by the opacities `mask`, uint8 (h, w), with its corner at x, y."""
    (x, y), (height, width) = at, mask.shape
    left, top = max(x, 0), max(y, 0)
    ground = picture[top : max(y + height, 0), left : max(x + width, 0)]
    mask = mask[top - y :, left - x :][: ground.shape[0], : ground.shape[1]]
    part = mask[..., None].astype(np.float32) / 255
    ground[:] = np.rint(ground * (1 - part) + np.asarray(shade, np.float32) * part)


def line(size: int) -> int:
    """Return the height of a line of text in pixels."""
    return round(1.35 * size)


def width(text: str, size: int) -> int:
    """Return the width of a line of text in pixels."""
    return letters(text, size).shape[1]


def fit(text: str, size: int, most: int) -> str:
    """Return `text`, or its beginning and "..." if it is wider than `most` pixels."""
    if width(text, size) <= most:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width(text[:middle].rstrip() + "...", size) <= most:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "..." if low else ""


def wrap(text: str, size: int, most: int) -> list[str]:
    """Split `text` into lines of whole words, at most `most` pixels wide. Longer words are cut."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width(longer, size) <= most:
            lines[-1] = longer
        else:
            lines.append(fit(word, size, most))
    return lines


@lru_cache(4096)
def letters(text: str, size: int) -> np.ndarray:
    """Return one line of text as a mask, uint8 (line(size), w)."""
    text = "".join(c if c.isprintable() else " " for c in text)
    runs = [(_font(name, size), part) for name, part in _runs(text)]
    ends = np.cumsum([0.0, *(font.getlength(part) for font, part in runs)])
    image = Image.new("L", (int(np.ceil(ends[-1])), line(size)))
    draw = ImageDraw.Draw(image)
    for (font, part), x in zip(runs, ends[:-1].tolist(), strict=True):
        # A line begins on the left even if its first letter is Arabic.
        ordered = font.layout_engine == ImageFont.Layout.RAQM
        direction = "ltr" if ordered else None
        draw.text((x, size), part, font=font, fill=255, anchor="ls", direction=direction)
    return np.asarray(image)


def _runs(text: str) -> list[tuple[str, str]]:
    """Split a text into parts, each with a font that has its characters."""
    if text.isascii():
        return [(BUILT_IN, text)]
    text = "".join(c if font_for(c) is not None else _substitute(c) for c in text)
    needed = frozenset(c for c in text if not _follows(c))
    for name in dict.fromkeys(filter(None, (font_for(c) for c in sorted(needed, reverse=True)))):
        if all(has(name, c) for c in needed):  # a single face looks best
            return [(name, text)]
    names: list[str] = []
    for c in text:
        stays = names and (_follows(c) or has(names[-1], c))
        names.append(names[-1] if stays else font_for(c) or BUILT_IN)
    pairs = groupby(zip(names, text, strict=True), key=lambda pair: pair[0])
    return [(name, "".join(c for _, c in group)) for name, group in pairs]


def _substitute(c: str) -> str:
    """Return the character to draw instead of one that no font has."""
    _report(
        f"no font of this machine has {c!r}",
        "install fonts (on Debian and Ubuntu fonts-noto-core and fonts-noto-cjk), or name the file"
        " of a font in JAXVID_FONT",
    )
    base = unicodedata.normalize("NFKD", c)[0]
    return base if base.isascii() else NO_CHARACTER  # each font draws it as a box


def _report(problem: str, advice: str):
    """Print a problem, once for each advice."""
    if advice not in reported:
        reported.add(advice)
        logger.warning(f"text on pictures: {problem}; {advice}")


def _follows(c: str) -> bool:
    """Return whether a character needs no font: it modifies the one before it, or is invisible."""
    return c.isspace() or c == NO_CHARACTER or unicodedata.category(c) in ("Mn", "Me", "Cf")


@cache
def font_for(c: str) -> str | None:
    """Return the first font that has a character; None if no font has it."""
    if _follows(c):
        return BUILT_IN
    return next((name for name in font_files() if has(name, c)), None)


@cache
def has(name: str, c: str) -> bool:
    """Return whether a font has a character."""
    if _follows(c):
        return True
    try:
        shown, missing = (_font(name, 20).getmask(x) for x in (c, NO_CHARACTER))
    except OSError:  # a damaged file, or bitmaps of one size
        return False
    return (shown.size, bytes(shown)) != (missing.size, bytes(missing))


@lru_cache(256)
def _font(name: str, size: int) -> Any:
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)


@cache
def font_files() -> tuple[str, ...]:
    """Return Pillow's own font and the font files of this machine, plain faces first."""

    def found() -> Iterator[Path]:
        for folder in FOLDERS:
            for ending in ("ttf", "ttc", "otf"):
                yield from Path(folder).expanduser().rglob(f"*.{ending}")

    def rank(path: Path):
        name = path.stem.lower()
        return bool(SPECIAL.search(name)), not USUAL.match(name), len(name), name

    own = filter(None, os.environ.get("JAXVID_FONT", "").split(os.pathsep))
    return *own, BUILT_IN, *(str(path) for path in sorted(found(), key=rank))
