"""Lists in messages are short and say how many items are left out."""

import pytest

from jaxvid import errors


@pytest.mark.parametrize(
    "count,most,expected",
    [
        (0, 2, []),
        (2, 2, ["0", "1"]),
        (3, 2, ["0", "1", "... and 1 more"]),
        (1502, 1, ["0", "... and 1,501 more"]),
    ],
)
def test_the_first_items_of_a_list(count, most, expected):
    assert errors.first([*map(str, range(count))], most) == expected


def test_the_last_line_has_a_hint_where_items_are_left_out():
    assert errors.first(["a", "b"], 1, "; see b") == ["a", "... and 1 more; see b"]
    assert errors.first(["a"], 1, "; see b") == ["a"]


def test_an_error_lists_the_first_problems():
    error = errors.problems("two lines are wrong:", ["a.csv:1: x", "a.csv:2: y"], most=1)
    assert str(error) == "two lines are wrong:\n  a.csv:1: x\n  ... and 1 more"
