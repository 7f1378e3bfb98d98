"""Curves of metrics over steps, and confusion matrices, on any Canvas."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxvid.draw import text as lettering
from jaxvid.draw.axes import tick
from jaxvid.draw.canvas import SERIES, Canvas, Picture

POINTS = 300  # maximum number of points of a curve; longer ones are averaged
WIDTH, HEIGHT = 360, 210  # size of a plot of curves
LABELED = 40  # maximum number of classes that a confusion matrix names
# The most important plots come first.
FIRST = ("loss", "top1", "top5", "map", "mean_class", "lr")
SPEED = ("step_time", "clips_per_s", "data_wait", "mfu", "recompiles")
HIDDEN = ("n",)


class Curve(NamedTuple):
    """A line of a plot: its name, steps and values."""

    name: str
    x: list[float]
    y: list[float]


def curves(records: Iterable[Mapping]) -> dict[str, list[Curve]]:
    """Return plots by name: "loss" has the curves "train" and "val" of train/loss and val/loss.

    Args:
      records: lines of metrics.jsonl. Values that are not finite are left out.
    """
    found: dict[str, dict[str, Curve]] = {}
    for record in records:
        for key, value in record.items():
            split, _, name = key.partition("/")
            if split in ("train", "val") and name not in HIDDEN and isinstance(value, int | float):
                curve = found.setdefault(name, {}).setdefault(split, Curve(split, [], []))
                if math.isfinite(value):
                    curve.x.append(float(record["step"]))
                    curve.y.append(float(value))

    def rank(name):
        early = FIRST.index(name) if name in FIRST else len(FIRST)
        return name in SPEED, early, name

    plots = {name: [c for c in found[name].values() if c.x] for name in sorted(found, key=rank)}
    return {name: lines for name, lines in plots.items() if lines}


def draw_curves(
    canvas: Canvas,
    title: str,
    lines: Sequence[Curve],
    at=(0, 0),
    size=(WIDTH, HEIGHT),
    palette: Mapping[str, str] | None = None,
):
    """Draw a plot with title and axes.

    Args:
      canvas: the canvas.
      title: title of the plot.
      lines: its curves.
      at: x, y of the upper left corner of the plot on the canvas.
      size: width and height of the plot.
      palette: colors of the curves by name, if the legend is elsewhere. Without it, a legend is
        drawn.
    """
    (x0, y0), (width, height) = at, size
    steps = [x for line in lines for x in line.x]
    lines = [thinned(line) for line in lines]
    values = [y for line in lines for y in line.y]
    (left, right), marks_x = extent(min(steps), max(steps))
    (low, high), marks_y = extent(min(values), max(values))
    names = [number(mark) for mark in marks_y]
    margin = max(lettering.width(name, 11) for name in names) + 12
    box = x0 + margin, y0 + 28, x0 + width - 14, y0 + height - 24

    def place(x, y):
        across = box[0] + (x - left) / (right - left) * (box[2] - box[0])
        return across, box[3] - (y - low) / (high - low) * (box[3] - box[1])

    for mark, name in zip(marks_y, names, strict=True):
        y = place(left, mark)[1]
        canvas.line([(box[0], y), (box[2], y)], "grid")
        canvas.text(box[0] - 6, y, name, 11, "muted", "end")
    for mark in marks_x:
        canvas.text(place(mark, low)[0], box[3] + 12, number(mark), 11, "muted", "middle")
    canvas.text(x0 + 6, box[3] + 12, "step", 11, "muted")
    canvas.text(x0 + 6, y0 + 12, title, 14)
    chosen = [palette[line.name] for line in lines] if palette else colors(lines)
    for line, color in zip(lines, chosen, strict=True):
        points = [place(x, y) for x, y in zip(line.x, line.y, strict=True)]
        if len(points) > 1:
            canvas.line(points, color, 1.6)
        for x, y in points if len(points) < 30 else ():
            canvas.dot(x, y, color)
    if palette is None:
        legend(canvas, lines, x0 + width - 14, y0 + 12)


def colors(lines: Sequence[Curve]) -> list[str]:
    """Return a color per curve. If there are only train, val and test, they have fixed colors."""
    usual = {"train": 0, "val": 1, "test": 2}
    places = [usual.get(line.name, i) for i, line in enumerate(lines)]
    if len(set(places)) < len(places):
        places = list(range(len(lines)))
    return [SERIES[place % len(SERIES)] for place in places]


def legend(canvas: Canvas, lines: Sequence[Curve], right: float, y: float):
    """Draw the names of curves in their colors, from right to left."""
    for line, color in reversed(list(zip(lines, colors(lines), strict=True))):
        canvas.text(right, y, line.name, 12, color, "end")
        right -= lettering.width(line.name, 12) + 12


def thinned(line: Curve) -> Curve:
    """Return a curve with at most POINTS points, each the mean of a part of the curve."""
    if len(line.x) <= POINTS:
        return line
    parts = zip(*(np.array_split(values, POINTS) for values in line[1:]), strict=True)
    means = [(float(x.mean()), float(y.mean())) for x, y in parts]
    return Curve(line.name, [x for x, _ in means], [y for _, y in means])


def extent(low: float, high: float) -> tuple[tuple[float, float], list[float]]:
    """Return the range (low, high) of an axis, and about five round tick marks on it."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # one point, or equal values
        margin = abs(high) * 0.1 or 1.0
        low, high = low - margin, high + margin
    step = tick(2 * (high - low))
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    pad = (high - low) * 0.04
    return (low - pad, high + pad), [i * step for i in range(first, last + 1)]


def number(value: float) -> str:
    """Format a number briefly: 12k, 0.05, 1e-05."""
    if abs(value) >= 1e4:
        unit, name = (1e6, "M") if abs(value) >= 1e6 else (1e3, "k")
        return f"{value / unit:.4g}{name}"
    return f"{value:.4g}" if abs(value) >= 1e-3 or abs(value) < 1e-12 else f"{value:.3g}"


def curves_picture(plots: Mapping[str, Sequence[Curve]], columns: int = 3) -> np.ndarray | None:
    """Return a picture of all plots, uint8 (h, w, 3); None if there are none."""
    if not plots:
        return None
    columns = min(columns, len(plots))
    canvas = Picture(columns * WIDTH, -(-len(plots) // columns) * HEIGHT)
    for i, (title, lines) in enumerate(plots.items()):
        draw_curves(canvas, title, lines, (i % columns * WIDTH, i // columns * HEIGHT))
    return canvas.pixels


class Matrix:
    """Drawing of a confusion matrix: rows are the true classes, columns the predicted ones.

    The shade of a cell is its share of the row. Up to 40 classes are named.

    Args:
      counts: int (c, c).
      names: names of the classes; long ones are cut.
      least: minimum size of the drawing in pixels, to which cells are enlarged.
    """

    def __init__(self, counts: np.ndarray, names: Sequence[str], least: int = 360):
        self.counts, self._named = counts, len(names) <= LABELED
        self._names = [lettering.fit(name, 11, 110) for name in names] if self._named else []
        self._full = names
        self._left = max((lettering.width(n, 11) for n in self._names), default=0) + 26
        self._top = self._left if self._named else 26
        smallest = 16 if self._named else 1
        self._cell = max(smallest, min(44, (least - self._left) // max(1, len(names))))
        side = self._cell * len(names)
        self.size = (self._left + side + 8, self._top + side + 8)

    def draw(self, canvas: Canvas):
        """Draw the matrix on a canvas of `size`."""
        left, top, cell, c = self._left, self._top, self._cell, len(self.counts)
        shares = self.counts / np.maximum(self.counts.sum(1, keepdims=True), 1)
        canvas.text(10, top + cell * c / 2, "true", 12, "muted", "middle", upright=True)
        canvas.text(left + cell * c / 2, 10, "predicted", 12, "muted", "middle")
        canvas.rect(left, top, cell * c, cell * c, "grid", 0.5)
        for i, name in enumerate(self._names):
            middle = (i + 0.5) * cell
            canvas.text(left - 5, top + middle, name, 11, anchor="end")
            canvas.text(left + middle, top - 5, name, 11, upright=True)
        for i, j in np.argwhere(self.counts).tolist():
            x, y, count = left + j * cell, top + i * cell, int(self.counts[i, j])
            color = "s0" if i == j else "s1"
            note = f"{self._full[i]} as {self._full[j]}: {count}"
            gap = 1 if cell > 4 else 0
            least = 0.12 if self._named else 0.4  # so that a cell of a pixel can be seen
            shade = least + (1 - least) * float(shares[i, j])
            canvas.rect(x, y, cell - gap, cell - gap, color, shade, note)
            fits = lettering.width(str(count), 11) < cell - 2
            if self._named and fits:
                ink = "paper" if shade > 0.6 else "ink"
                canvas.text(x + cell / 2, y + cell / 2, str(count), 11, ink, "middle")

    def picture(self) -> np.ndarray:
        """Return the drawing as a picture, uint8 (h, w, 3)."""
        canvas = Picture(*self.size)
        self.draw(canvas)
        return canvas.pixels
