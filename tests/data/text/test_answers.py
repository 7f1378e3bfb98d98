"""Answers in the form that the published evaluation compares, and the credit of each."""

import numpy as np
import pytest

from jaxvid.data.text.answers import credits, normalized
from tests.conftest import cases


@pytest.mark.parametrize("args,given,want,seed", cases("VQA"))
def test_published_cases(args, given, want, seed):
    assert list(map(normalized, given)) == want


def test_marks_and_contractions():
    """Compare with results of the published code."""
    given = ["couldnt've", "x_y", "top-of the/range", "somebody'd", "3.5 dogs.", "a_ b"]
    want = ["couldn't've", "x y", "top of range", "somebodyd", "3.5 dogs", "b"]
    assert [normalized(x) for x in given] == want


def test_credit_is_the_share_of_annotators_up_to_three_of_ten():
    right = {"two": 0.2, "2": 0.05, "a dog": 0.15, "none": 0.6}
    got = credits(right, ["2", "Dog", "0", "cat"])
    np.testing.assert_allclose(got, [0.25 / 0.3, 0.5, 1, 0], rtol=1e-6)
