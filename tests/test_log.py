"""What jaxvid tells the user: by loggers, to the terminal, by which process."""

import logging

import pytest

from jaxvid import log

logger = logging.getLogger("jaxvid.some.module")


@pytest.fixture
def second_of_two(monkeypatch):
    monkeypatch.setattr(log.TERMINAL, "process", lambda: (1, 2))


def say():
    logger.info("a line")
    logger.warning("a warning")
    logger.error("an error")


def test_lines_go_to_stderr_or_stdout_and_errors_to_stderr(capsys):
    say()
    assert tuple(capsys.readouterr()) == ("", "a line\na warning\nerror: an error\n")
    with log.on_stdout():
        say()
    assert tuple(capsys.readouterr()) == ("a line\na warning\n", "error: an error\n")
    say()
    assert capsys.readouterr().out == ""


def test_other_processes_only_warn_and_are_named(capsys, second_of_two):
    say()
    warning, error = capsys.readouterr().err.splitlines()
    assert warning.startswith("process 1 of 2 (") and warning.endswith("): a warning")
    assert error.startswith("error: process 1 of 2 (") and error.endswith("): an error")


def test_what_all_processes_see_is_said_once_and_by_the_first(capsys, monkeypatch):
    for text in ("three segments", "two videos", "three segments"):
        log.warn_once(logger, f"{text} without a length")
    assert capsys.readouterr().err.splitlines() == [
        "three segments without a length",
        "two videos without a length",
    ]
    monkeypatch.setattr(log.TERMINAL, "process", lambda: (1, 2))
    log.warn_once(logger, "a line without a label")
    assert capsys.readouterr().err == ""


def test_lines_are_printed_as_they_are(capsys):
    logger.info("100%s [bold]:smile:[/bold] " + "long " * 60)
    assert capsys.readouterr().err == "100%s [bold]:smile:[/bold] " + "long " * 60 + "\n"


def test_a_user_may_want_less(capsys):
    logging.getLogger("jaxvid").setLevel(logging.ERROR)
    try:
        say()
    finally:
        logging.getLogger("jaxvid").setLevel(logging.INFO)
    assert capsys.readouterr().err == "error: an error\n"
