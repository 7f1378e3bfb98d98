"""The copy of what a run prints."""

import sys

import pytest
from rich.console import Console

from jaxvid import console
from jaxvid.errors import UserError


def test_what_is_printed_goes_to_both_and_errors_are_noted(tmp_path, capsys):
    path = tmp_path / "log.txt"
    before = sys.stdout, sys.stderr
    with console.copied(path):
        print("one")
        print("two", file=sys.stderr)
        Console(force_terminal=True).print("[bold red]three[/bold red]")
        assert path.read_text().endswith("one\ntwo\nthree\n"), "at once, and without colors"
    for error in (UserError("bad key"), KeyboardInterrupt("stopped at step 3"), ValueError("bug")):
        with pytest.raises(type(error)), console.copied(path):
            raise error
    assert (sys.stdout, sys.stderr) == before
    lines = path.read_text().splitlines()
    assert lines[5] == "error: bad key" and lines[7] == "stopped at step 3"
    assert lines[9].startswith("Traceback") and lines[-1] == "ValueError: bug"
    said = capsys.readouterr()
    assert said.out.startswith("one\n") and "three" in said.out and said.err == "two\n"


def test_without_a_file_it_only_prints(capsys):
    with console.copied(None):
        print("one")
    assert capsys.readouterr().out == "one\n"


def test_a_folder_where_nothing_can_be_written_is_one_line(tmp_path):
    with (
        pytest.raises(UserError, match=r"log\.txt: cannot write there"),
        console.copied(tmp_path / "none" / "log.txt"),
    ):
        pass


def test_a_terminal_that_is_gone_is_no_error():
    class Gone:
        def write(self, text):
            raise OSError(5, "Input/output error")

        flush = close = lambda self: self.write("")

    stream = console.Copied(Gone(), None)  # type: ignore[arg-type]
    assert stream.write("one") == 3
    stream.flush()
