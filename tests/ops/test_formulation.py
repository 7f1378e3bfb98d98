"""Formulations that are forced by a block or by the environment."""

import pytest

from jaxvid.errors import UserError
from jaxvid.ops.formulation import forced, forced_name, log_once

KNOWN = ("plain", "kernel")


def test_a_block_forces_a_formulation_and_ends():
    assert forced_name("attention", KNOWN) is None
    with forced(attention="plain", conv="taps"):
        with forced(attention="kernel"):
            assert forced_name("attention", KNOWN) == "kernel"
            assert forced_name("conv", ("taps",)) == "taps"
        assert forced_name("attention", KNOWN) == "plain"
    assert forced_name("attention", KNOWN) is None


def test_the_environment_forces_where_no_block_does(monkeypatch):
    monkeypatch.setenv("JAXVID_ATTENTION", "plain")
    assert forced_name("attention", KNOWN) == "plain"
    assert forced_name("conv", KNOWN) is None
    with forced(attention="kernel"):
        assert forced_name("attention", KNOWN) == "kernel"


def test_an_unknown_name_is_an_error_with_the_nearest(monkeypatch):
    monkeypatch.setenv("JAXVID_ATTENTION", "kernal")
    with pytest.raises(UserError, match=r'JAXVID_ATTENTION: .*"kernal"\. Did you mean "kernel"\?'):
        forced_name("attention", KNOWN)


def test_a_line_is_logged_once(said):
    for line in ("one", "two", "one"):
        log_once("jaxvid.ops.test_formulation", line)
    assert said == ["one", "two"]
