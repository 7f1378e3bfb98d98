"""What annotations of config values allow, and how they say it."""

import inspect
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from jaxvid.config.values import (
    Choice,
    Count,
    Mismatch,
    Natural,
    NonNegative,
    Positive,
    Probability,
    Rate,
    ShareRange,
    describe,
    mismatch,
)
from jaxvid.errors import UserError

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
    assert mismatch(value, kind) is None


@pytest.mark.parametrize("kind,value,hint", WRONG)
def test_what_is_not_allowed_has_a_hint(kind, value, hint):
    found = mismatch(value, kind)
    assert found is not None
    assert hint in found.hint


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


# A name and its arguments


def blur(sigma: Positive, times: Count = 1, *, frames: int) -> tuple:
    return ("blur", sigma, times, frames)


def gray(*, frames: int) -> tuple:
    return ("gray", frames)


ONE, SEVERAL = Choice({"blur": blur, "gray": gray}), Choice({"blur": blur}, several=True)


def test_a_choice_calls_its_functions():
    assert ONE.build("x", ("blur", 2.0), frames=8) == [("blur", 2.0, 1, 8)]
    assert ONE.build("x", ["gray"], frames=8) == [("gray", 8)]
    assert SEVERAL.build("x", (), frames=8) == []
    assert SEVERAL.build("x", ("blur", 2.0, 3), frames=8) == [("blur", 2.0, 3, 8)]
    both = (("blur", 2.0), ("blur", 1.0))
    assert SEVERAL.build("x", both, frames=8) == [("blur", 2.0, 1, 8), ("blur", 1.0, 1, 8)]


@pytest.mark.parametrize(
    "value,hint",
    [
        (("blurr", 1.0), ' Did you mean "blur"?'),
        (("blur",), ' "blur" needs sigma.'),
        (("blur", 0.0), " sigma must be a number above 0."),
        (("blur", 1.0, 0), " times must be an integer of at least 1. The nearest is 1."),
        (("blur", 1.0, 1, 8), ' "blur" takes 2 arguments at most.'),
        ((), " Known: blur, gray."),
        ((3,), " Known: blur, gray."),
        ((("blur", 1.0),), " Known: blur, gray."),
    ],
)
def test_a_wrong_choice_says_what_is_wrong(value, hint):
    assert mismatch(value, Annotated[tuple, ONE]) == Mismatch(hint)
    with pytest.raises(UserError, match=r"config\.x=.*: it must be a tuple") as error:
        ONE.build("x", value, frames=8)
    assert str(error.value).endswith(hint)


def test_a_choice_in_words():
    assert describe(Annotated[tuple, ONE]) == 'a tuple ("blur", sigma, times=1) or ("gray",)'
    assert describe(Annotated[tuple, SEVERAL]).endswith(", a tuple of such tuples, or ()")
    for value in ("blur", None, 3):
        assert mismatch(value, Annotated[tuple, ONE]) == Mismatch()
        with pytest.raises(UserError, match="it must be a tuple"):
            ONE.build("x", value, frames=8)
