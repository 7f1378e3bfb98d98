"""Windows of a long video, and the segments of all of them in one list."""

import pytest

from jaxvid.inference.localize import Part, merge, windows
from jaxvid.results import Localized


@pytest.mark.parametrize(
    "rows,size,overlap,want",
    [
        (10, 4, 0.5, [(0, 4), (2, 6), (4, 8), (6, 10)]),
        (9, 4, 0.5, [(0, 4), (2, 6), (4, 8), (5, 9)]),
        (9, 4, 0.0, [(0, 4), (4, 8), (5, 9)]),
        (3, 4, 0.5, [(0, 3)]),
        (4, 4, 0.5, [(0, 4)]),
        (2, 0, 0.5, [(0, 1), (1, 2)]),
    ],
)
def test_windows_cover_all_rows(rows, size, overlap, want):
    assert windows(rows, size, overlap) == want


def part(start, end, *rows):
    scores, segments, labels = zip(*rows, strict=True)
    return Part(start, end, Localized(labels, scores, segments, end - start))


def test_a_segment_counts_once_and_in_seconds_of_the_video():
    parts = [
        part(0, 10, (0.9, (2, 4), "a"), (0.8, (8, 10), "a")),  # the second is cut off
        part(5, 15, (0.7, (3, 6), "a"), (0.5, (0, 6), "b"), (0.1, (3, 6), "a")),
        part(10, 20, (0.6, (4, 20), "a")),  # ends after the video
    ]
    found = merge(parts, 20.0, 10)
    assert found.segments == ((2, 4), (8, 11), (14, 20), (5, 11), (8, 11))
    assert found.scores == (0.9, 0.7, 0.6, 0.5, 0.1)
    assert found.labels == ("a", "a", "a", "b", "a")  # a window keeps what its model kept
    assert merge(parts, 20.0, 1).segments == ((2, 4),)


def test_the_better_of_two_windows_stays():
    parts = [part(0, 10, (0.4, (6, 8), "a")), part(5, 15, (0.6, (2, 4), "a"), (0.3, (3, 5), "b"))]
    found = merge(parts, 15.0, 10)
    assert found.scores == (0.6, 0.4, 0.3)
    parts = [part(0, 10, (0.4, (6, 8.5), "a")), part(5, 15, (0.6, (1.1, 4.1), "a"))]
    assert merge(parts, 15.0, 10).scores == (0.6,)
