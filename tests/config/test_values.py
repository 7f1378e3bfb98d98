"""What annotations of config values allow, and how they say it."""

import inspect
from typing import Any, Literal

import numpy as np
import pytest

from jaxvid.config.values import (
    Count,
    Natural,
    NonNegative,
    Positive,
    Probability,
    Rate,
    ShareRange,
    describe,
    wrong,
)

RIGHT = [
    (Count, 1), (Count, np.int64(5)), (Natural, 0), (NonNegative, 0), (NonNegative, 2.5),
    (Positive, 1e-9), (Positive, np.float32(2)), (Probability, 1), (Rate, 0.999),
    (ShareRange, (0.1, 1.0)), (ShareRange, [0.5, 0.5]), (bool, True), (str, ""), (float, 3),
    (Literal[1, 3, 10], 3), (Literal["", "a"], ""), (Count | None, None), (Count | None, 2),
    (tuple[int, ...], ()), (tuple, (1, "x")), (tuple[str, Count], ("x", 1)), (Any, object()),
    (Count | Literal[-1], -1), (ShareRange | tuple[()], ()),
]  # fmt: skip
WRONG = [
    (Count, 0, "nearest is 1"), (Count, 2.0, ""), (Count, True, ""), (Count, "1", ""),
    (Natural, -1, "nearest is 0"), (Positive, 0.0, ""), (Positive, float("nan"), ""),
    (NonNegative, float("inf"), ""), (Probability, 1.5, "nearest is 1"), (Rate, 1.0, ""),
    (ShareRange, (0.9, 0.1), "(0.1, 0.9)"), (ShareRange, (0.0, 1.0), ""), (ShareRange, 0.5, ""),
    (ShareRange, (0.1, 0.2, 0.3), ""), (bool, 1, ""), (bool, "True", ""), (str, 1, ""),
    (float, "1", ""), (float, False, ""), (int, None, ""), (Literal[1, 3, 10], 9, "nearest is 10"),
    (Literal[1, 3], True, ""), (Literal["sgd", "adamw"], "adam", '"adamw"'),
    (Literal["a"], 1, ""), (Count | None, 0, "nearest is 1"), (tuple[int, ...], (1, "x"), ""),
    (tuple[int, ...], 1, ""), (tuple[int, ...], "ab", ""), (tuple[str, Count], ("x", 0), ""),
    (tuple[()], (1,), ""),
]  # fmt: skip


@pytest.mark.parametrize("kind,value", RIGHT)
def test_what_is_allowed(kind, value):
    assert wrong(value, kind) is None


@pytest.mark.parametrize("kind,value,hint", WRONG)
def test_what_is_not_allowed_has_a_hint(kind, value, hint):
    found = wrong(value, kind)
    assert found is not None
    assert hint in found


@pytest.mark.parametrize(
    "kind,words",
    [
        (Count, "an integer of at least 1"),
        (Positive, "a number above 0"),
        (Rate, "a number of at least 0 and below 1"),
        (Probability, "a number from 0 to 1"),
        (Count | None, "an integer of at least 1, or None"),
        (Literal["", "a", "b"], '"", "a" or "b"'),
        (tuple[str, ...], "a tuple, each item a text"),
        (tuple[Natural, float], "a tuple of 2: an integer of at least 0; a number"),
        (tuple[()], "()"),
        (tuple, "a tuple"),
        (inspect.Parameter, ""),
    ],
)
def test_what_is_allowed_in_words(kind, words):
    assert describe(kind) == words


def test_ranges_in_order_say_so():
    each = "a number above 0 and at most 1"
    assert describe(ShareRange) == f"a tuple of 2, each {each}, in ascending order"
