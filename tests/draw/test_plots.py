"""Curves and confusion matrices, as pictures and as SVG."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from jaxvid.draw import plots
from jaxvid.draw.canvas import COLORS, Picture, Svg

RECORDS = [
    {"step": 10, "epoch": 1, "time": 5.0, "train/loss": 2.0, "train/lr": 0.1, "train/step_time": 1},
    {"step": 10, "epoch": 1, "time": 6.0, "val/loss": 2.5, "val/top1": 0.25, "val/n": 8},
    {"step": 20, "epoch": 2, "time": 7.0, "train/loss": float("nan"), "train/lr": 0.05},
    {"step": 30, "epoch": 3, "time": 8.0, "train/loss": 1.0, "train/lr": 0.0, "train/note": "x"},
    {"step": 30, "epoch": 3, "time": 9.0, "test/top1": 0.5},
]


def is_color(pixels, name):
    return np.abs(pixels.astype(int) - COLORS[name]).max(-1) <= 8


def test_curves_stand_together_by_name_and_what_is_not_finite_is_left_out():
    found = plots.curves(RECORDS)
    assert list(found) == ["loss", "top1", "lr", "step_time"]
    assert found["loss"] == [
        plots.Curve("train", [10.0, 30.0], [2.0, 1.0]),
        plots.Curve("val", [10.0], [2.5]),
    ]
    assert plots.curves([]) == {} and plots.curves_picture({}) is None
    assert plots.curves([{"step": 1, "train/loss": float("inf")}]) == {}


def test_a_curve_goes_where_its_values_are():
    rising = [plots.Curve("train", [0.0, 100.0], [0.0, 1.0])]
    picture = Picture(plots.WIDTH, plots.HEIGHT, scale=1)
    plots.draw_curves(picture, "loss", rising)
    y, x = np.nonzero(is_color(picture.pixels[30:], "s0"))  # below the legend
    assert y[x.argmin()] > y[x.argmax()] + 100
    assert x.max() - x.min() > 250


@pytest.mark.parametrize("values", [[0.0], [3.0], [1e-9, 1e9], [-5.0, -5.0], [1e-7, 2e-7]])
def test_any_range_has_an_axis(values):
    line = plots.Curve("val", list(map(float, range(len(values)))), values)
    plots.draw_curves(Svg(plots.WIDTH, plots.HEIGHT, "x"), "x", [line])
    (low, high), marks = plots.extent(min(values), max(values))
    assert low < min(values) <= max(values) < high and 2 <= len(marks) <= 11
    assert all(low <= mark <= high for mark in marks)


def test_long_curves_are_thinned_to_means():
    line = plots.Curve("train", list(map(float, range(9000))), [0.0, 2.0] * 4500)
    thin = plots.thinned(line)
    assert len(thin.x) == len(thin.y) == plots.POINTS
    assert set(thin.y) == {1.0} and thin.x[0] == pytest.approx(14.5)


def test_numbers_are_short():
    values = [0, 0.1, 12, 12000, 1.5e6, 1e-5, 0.05, -20000]
    assert [plots.number(v) for v in values] == [
        "0",
        "0.1",
        "12",
        "12k",
        "1.5M",
        "1e-05",
        "0.05",
        "-20k",
    ]


COUNTS = np.array([[3, 1], [0, 4]])


def test_a_matrix_shows_counts_and_right_and_wrong_differ():
    matrix = plots.Matrix(COUNTS, ["run & <go>", "中文"])
    pixels = matrix.picture()
    assert pixels.shape[:2] == tuple(2 * side for side in matrix.size[::-1])
    assert is_color(pixels, "s0").any()  # all of a row is right
    svg = Svg(*matrix.size, "confusion")
    matrix.draw(svg)
    root = ElementTree.fromstring(str(svg))  # well formed, whatever the names
    texts = {node.text for node in root.iter("text")}
    assert {"3", "1", "4", "run & <go>", "中文", "true", "predicted"} <= texts
    assert "run & <go> as 中文: 1" in {node.text for node in root.iter("title")}


@pytest.mark.parametrize("count", [1, 2, 40, 41, 400])
def test_matrices_of_any_size(count):
    counts = np.eye(count, dtype=int) * 5
    names = [f"a class with a name that is far too long to be shown {i}" for i in range(count)]
    pixels = plots.Matrix(counts, names).picture()
    assert 100 < len(pixels) < 2200 and pixels.shape[0] == pixels.shape[1]
    assert is_color(pixels, "s0").sum() >= count
    assert (plots.Matrix(counts * 0, names).picture() != 0).any()  # nothing evaluated


def test_svg_takes_its_colors_from_the_page():
    svg = Svg(100, 50, 'a "title"')
    svg.rect(1, 2, 3, 4, "s1", 0.5, "a < b")
    svg.text(5, 6, "a < b", 11, "muted", upright=True)
    svg.line([(0, 0), (1, 1)], "s0")
    svg.dot(1, 1, "s0")
    ElementTree.fromstring(str(svg))
    assert set(re.findall(r"var\(--(\w+)\)", str(svg))) == {"s0", "s1", "muted"}
    assert "#" not in str(svg)
