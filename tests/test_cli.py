"""Flags that change a config, and failures that end in one line."""

import subprocess
import sys

import pytest
from absl import flags

from jaxvid import cli
from jaxvid.config import plain, schema
from jaxvid.errors import UserError


def parse(monkeypatch, name: str, *overrides: str) -> dict:
    """The checked config of a command line."""
    monkeypatch.setattr(sys, "argv", ["main", f"--config={name}", *overrides])
    values = flags.FlagValues()
    holder = cli.define_config(values)
    values(sys.argv)
    schema.check(holder.value)
    return plain(holder.value)


@pytest.mark.parametrize("name", ["finetune:mini", "fast_rcnn_own", "swin_k400"])
@pytest.mark.parametrize("text,value", [("10", 10), ("None", None)])
def test_a_key_that_may_be_none_takes_a_number_and_none(monkeypatch, name, text, value):
    config = parse(monkeypatch, name, f"--config.data.num_classes={text}")
    assert config["data"]["num_classes"] == value


@pytest.mark.parametrize("text", ["0", "many", "1.5", "(3,)"])
def test_a_key_that_may_be_none_takes_nothing_else(monkeypatch, text):
    message = r"config\.data\.num_classes=.*: it must be an integer of at least 1, or None"
    with pytest.raises(UserError, match=message):
        parse(monkeypatch, "finetune:mini", f"--config.data.num_classes={text}")


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


def test_flags_are_read_before_they_are_parsed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["main", "--config", "a", "-workdir=b=c", "--flag"])
    assert [cli.argument(name) for name in ("config", "workdir", "flag", "no")] == [
        "a",
        "b=c",
        None,
        None,
    ]
