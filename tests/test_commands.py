"""The lists of commands, and the console command that wraps the modules."""

import os
import subprocess
import sys

import pytest

from jaxvid import __main__ as console
from jaxvid import commands


def call(*argv):
    done = subprocess.run([sys.executable, "-m", *argv], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_every_tool_is_in_a_group():
    grouped = [name for names in commands.GROUPS.values() for name in names]
    assert sorted(grouped) == commands.tools()
    assert "jobs" not in grouped  # a module that is no command


def test_lists_have_the_first_lines_of_docstrings():
    assert "  scan              Inspect every video of a folder" in commands.list_tools()
    everything = commands.list_all()
    assert commands.list_tools() in everything
    assert "jaxvid train --config NAME" in everything
    assert "  lists             Write annotation lists" in everything


@pytest.mark.parametrize("argv", [("jaxvid",), ("jaxvid", "tools"), ("jaxvid.tools",)])
def test_modules_list_what_there_is(argv):
    code, out, _ = call(*argv)
    assert code == 0
    assert "Weights:\n  zoo " in out


def test_every_module_of_the_tools_says_what_it_is():
    for path in (commands.HERE / "tools").glob("[!_]*.py"):
        assert 'if __name__ == "__main__":' in path.read_text()
    code, out, err = call("jaxvid.tools.jobs")
    assert (code, out) == (1, "") and "`python -m jaxvid.tools` lists the commands" in err


@pytest.mark.parametrize(
    "argv,message",
    [
        (["trian"], 'no command "trian". Did you mean "train"'),
        (["scan"], "did you mean `jaxvid tools scan`?"),
        (["tools", "skan"], 'no tool "skan". Did you mean "scan"'),
        (["tools", "jobs"], 'no tool "jobs"'),
    ],
)
def test_an_unknown_command_names_the_nearest(argv, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["jaxvid", *argv])
    assert console.main() == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv,module,rest",
    [
        (["train", "--config", "x"], "jaxvid.main", ["--config", "x"]),
        (["eval", "--workdir=w"], "jaxvid.main", ["--mode=eval", "--workdir=w"]),
        (["predict", "a.mp4"], "jaxvid.predict", ["a.mp4"]),
        (["tools", "scan", "DIR"], "jaxvid.tools.scan", ["DIR"]),
    ],
)
def test_a_command_is_a_module_with_the_same_arguments(argv, module, rest, monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "argv", ["jaxvid", *argv])
    monkeypatch.setattr(
        commands.runpy, "run_module", lambda name, **_: seen.append((name, sys.argv[1:]))
    )
    assert console.main() == 0
    assert seen == [(module, rest)]


def test_help_of_main_explains_configs():
    code, out, err = call("jaxvid", "train", "--help")
    assert (code, err) == (0, "")
    for text in ("--workdir", "quickstart", "variants: tiny small base large", "--config.batch=32"):
        assert text in out


@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_reader_that_leaves_is_no_error(buffered):
    """As `head` does; the list is longer than what a pipe holds of it."""
    script = (
        "import sys; from jaxvid import cli;"
        "sys.exit(cli.guard(lambda: [print('x' * 1000) for _ in range(1000)]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": buffered},
    )
    assert process.stdout and process.stderr
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141
