"""Rules over parameter paths: which rule wins, and what a rule may not do."""

from typing import NamedTuple

import numpy as np
import pytest

from jaxvid import param_rules
from jaxvid.errors import UserError


class Pair(NamedTuple):
    first: int
    second: int


TREE = {
    "backbone": {"norm": {"scale": 1, "bias": 2}, "norm1": {"scale": 3}},
    "head": [Pair(4, 5), 6],
}


def test_flatten_names_every_leaf_by_where_it_is():
    assert param_rules.flatten(TREE) == {
        "backbone/norm/bias": 2,
        "backbone/norm/scale": 1,
        "backbone/norm1/scale": 3,
        "head/0/first": 4,
        "head/0/second": 5,
        "head/1": 6,
    }


def test_the_first_rule_wins_and_the_rest_take_the_default():
    rules = [("backbone/norm/.*", "a"), ("backbone/.*", "b"), (".*/bias", "c")]
    assert param_rules.flatten(param_rules.label(TREE, rules, default="d")) == {
        "backbone/norm/bias": "a",
        "backbone/norm/scale": "a",
        "backbone/norm1/scale": "b",
        "head/0/first": "d",
        "head/0/second": "d",
        "head/1": "d",
    }


def test_a_pattern_covers_the_whole_path():
    assert set(
        param_rules.flatten(param_rules.label(TREE, [("norm", 1), ("backbone", 1)], 0)).values()
    ) == {0}


def test_labels_keep_the_structure_of_the_tree():
    labels = param_rules.label(
        {"a": np.zeros(3), "b": [np.zeros(2)]}, [("a", ("x", None))], default=()
    )
    assert labels == {"a": ("x", None), "b": [()]}


@pytest.mark.parametrize("strict", [False, True])
def test_a_pattern_that_is_no_regular_expression_is_an_error(strict):
    with pytest.raises(UserError, match=r'"head/\(" is not a regular expression'):
        param_rules.label(TREE, [("head/(", 1)], strict=strict)


def test_a_strict_rule_that_matches_nothing_is_an_error():
    rules = [("backbone/.*", 1), ("hed/.*", 2)]
    param_rules.label(TREE, rules)
    with pytest.raises(UserError, match=r'"hed/\.\*" matches no parameter.*"backbone/norm/bias"'):
        param_rules.label(TREE, rules, strict=True)
