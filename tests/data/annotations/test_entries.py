"""Values of annotations: what is accepted, and what is said of what is not."""

import re
from pathlib import Path

import numpy as np
import pytest

from jaxvid.data.annotations.entries import Entry, csv_lines, csv_numbers, entry
from jaxvid.errors import UserError

WHERE = 'a.json: video "v"'


def own(value) -> Entry:
    return Entry({"key": value}, WHERE)


def test_what_is_accepted():
    assert own(3).number("key") == own(np.float16(3)).number("key") == 3
    assert own(np.int8(3)).whole("key") == own(np.array([3])).whole("key") == 3
    assert own("a b").text("key") == own("a b").name("key") == "a b"
    assert own(7).name("key") == own(np.int64(7)).name("key") == "7"
    assert own((1, 2)).items("key") == (1, 2)
    assert own({"x": 1}).entry("key").number("x") == 1
    assert own([[1, 2]]).finite("key").shape == (1, 2)


@pytest.mark.parametrize(
    "value", [None, "3", True, float("nan"), float("inf"), 10**400, [1, 2], {}, 1j]
)
def test_what_is_no_number(value):
    shown = f"is {value!r}"
    shown = shown if len(shown) <= 80 else f"{shown[:80]} ..."
    said = re.escape(f'{WHERE}: "key" {shown}; expected seconds')
    with pytest.raises(UserError, match=said):
        own(value).number("key", "seconds")


@pytest.mark.parametrize("value", [None, "3", True, 3.0, np.float32(3), float("nan"), 2**31])
def test_what_is_no_whole_number(value):
    with pytest.raises(UserError, match=r'"key" is .*; expected a whole number'):
        own(value).whole("key")


@pytest.mark.parametrize("value", [None, 3.5, "", " ", True, b"a", ["a"]])
def test_what_names_nothing(value):
    with pytest.raises(UserError, match=r'"key" is .*; expected text or a whole number'):
        own(value).name("key")


@pytest.mark.parametrize(
    "value,message",
    [
        ([[1], [1, 2]], "has rows of different lengths"),
        ([1, None], "has rows of different lengths, or no numbers"),
        (["1"], "has <U1 instead of numbers"),
        (None, "has object instead of numbers"),
        ([True], "has bool instead of numbers"),
        ([[0, np.nan]], r"has nan at \[0, 1\]; expected finite numbers"),
        (np.array([-np.inf]), r"has -inf at \[0\]; expected finite numbers"),
    ],
)
def test_what_is_no_array_of_finite_numbers(value, message):
    with pytest.raises(UserError, match=f'^{WHERE}: "key" {message}'):
        own(value).finite("key")


def test_ranges_missing_keys_and_nested_entries():
    with pytest.raises(UserError, match='"key" is -1; expected from 0'):
        own(-1).number("key", "from 0", low=0)
    with pytest.raises(UserError, match='"key" is 9; expected up to 8'):
        own(9).whole("key", "up to 8", high=8)
    with pytest.raises(UserError, match=rf'^{WHERE}: no "kye" in it\. Did you mean "key"'):
        own(1).number("kye")
    with pytest.raises(UserError, match=rf'^{WHERE}, "key": "x" is "a"; |"x" is .a.; expected'):
        own({"x": "a"}).entry("key").number("x")
    with pytest.raises(UserError, match="b: expected a dict, found a list"):
        entry([], "b")
    with pytest.raises(UserError) as error:
        own("x" * 500).number("key")
    assert len(str(error.value)) < 200


COLUMNS = ("video", "time", "x")


def table(folder: Path, text: str):
    path = folder / "t.csv"
    path.write_text(text)
    lines = csv_lines(path, COLUMNS, slice(1, 3))
    return csv_numbers(path, lines, COLUMNS, slice(1, 3)).tolist()


def test_a_table_with_and_without_a_header(tmp_path):
    for header in ("", "video,time,x\n", "# made by hand\nfile,when,where\n"):
        assert table(tmp_path, header + "a,1,2\n\nb, 3 ,4e-1\n") == [[1, 2], [3, 0.4]]
    assert table(tmp_path, "") == table(tmp_path, "video,time,x\n") == []


@pytest.mark.parametrize(
    "text,message",
    [
        ("a,nan,2\n", '1: time is "nan"; expected a number'),
        ("a,1,2\nb,1,x\n", '2: x is "x"; expected a number'),
        ("a,1,2\nb,1,inf\n", '2: x is "inf"; expected a number'),
        ("a,1,2\n\nb,,3\n", '3: time is ""; expected a number'),
        ("a,1,2\nb,1\n", '2: expected "video,time,x", found "b,1"'),
        ("a\nb,1,2\n", '1: expected "video,time,x", found "a"'),
        ("time,video,x\n1,a,2\n", '1: "time" is column 1; the columns are, in this order, video'),
    ],
)
def test_a_cell_that_is_no_number_is_named(tmp_path, text, message):
    with pytest.raises(UserError, match=r"t\.csv:" + message):
        table(tmp_path, text)
