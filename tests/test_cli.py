"""Flags that change a config, and failures that end in one line."""

import subprocess
import sys

import pytest

from jaxvid import cli


def test_a_file_that_may_not_be_read_is_one_line(capsys):
    def main():
        raise PermissionError(13, "Permission denied", "clips/train.csv")

    assert cli.guard(main) == 1
    assert (
        capsys.readouterr().err == "error: clips/train.csv: no permission to read or write this\n"
    )


@pytest.mark.parametrize("module", ["jaxvid.main", "jaxvid.tools.show_config"])
def test_a_command_without_arguments_says_what_it_needs(module):
    done = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: --config is needed")


def call(*argv: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", *argv], capture_output=True, text=True)
    assert not done.stdout
    return done.returncode, done.stderr


def test_flags_may_stand_in_any_order():
    code, err = call(
        *("jaxvid.main", "--config.epochs", "3", "--config.data.root=none", "--workdir=none/run"),
        *("--config", "bmn_own", "--config.log_every", "-2"),
    )
    assert (code, err) == (
        1,
        "error: config.log_every=-2: it must be an integer of at least 0. The nearest is 0.\n",
    )


@pytest.mark.parametrize(
    "argv,message",
    [
        (["jaxvid.main", "--mode=evil"], "value should be one of <train|eval>"),
        (["jaxvid.main", "--config=quickstart", "--wrokdir=x"], 'Did you mean "workdir"?'),
        (["jaxvid.main", "--config=quickstart", "--batch=3"], "Did you mean --config.batch?"),
        (["jaxvid.main", "--config=quickstart", "x"], 'unexpected argument "x"'),
        (["jaxvid.main", "--mode=eval"], "--workdir is needed"),
        (["jaxvid.tools.check", "--config=quickstart", "--linse=3"], "--help lists the flags."),
        (["jaxvid.tools.check", "--config=quickstart", "--batch=3"], "Did you mean --config.batch"),
    ],
)
def test_a_wrong_argument_is_one_line(argv, message):
    code, err = call(*argv)
    assert code in (1, 2) and message in err


def test_help_of_tools_explains_configs():
    done = subprocess.run(
        [sys.executable, "-m", "jaxvid.tools.check", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "--manifest FILE" in done.stdout and "variants: tiny small base large" in done.stdout
