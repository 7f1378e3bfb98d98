"""Shared parts of the commands: flags, and errors in one line instead of a traceback.

`jaxvid.main` has flags of absl, all other commands have a parser of argparse. Both leave
--config.KEY=VALUE to `config`, so that every command takes them in the same way.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from jaxvid import console, signals
from jaxvid.config import loading, options, overrides, schema
from jaxvid.errors import UsageError, UserError

CONFIG_HELP = "NAME of a shipped config or your FILE, with :VARIANT; --config.KEY=VALUE changes it"


def run(main: Callable[[list[str]], object]) -> int:
    """Parse `sys.argv` as absl flags, and call `main` with the arguments that are no such flags.

    Returns:
      The exit code: 0; 1 after a UserError; 2 for a wrong command line; 128 + N after signal N,
      such as 130 after Ctrl-C.
    """
    if {"-h", "--help"} & set(sys.argv[1:]):
        return guard(show_help)
    flags.FLAGS.set_gnu_getopt(True)  # the value of --config.KEY VALUE does not end the flags
    try:
        _, *rest = flags.FLAGS(sys.argv, known_only=True)
    except flags.Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return guard(lambda: main(rest))


def guard(main: Callable[[], object]) -> int:
    """Call `main()`; an error that the user can correct is printed as one line."""
    show = sys.excepthook

    def quiet(kind, error, trace):
        # TensorStore prints one for each write that a failed save abandons; the save raises why.
        if str(error) != "Event loop is closed":
            show(kind, error, trace)

    sys.excepthook = quiet
    try:
        with signals.raising():
            main()
            sys.stdout.flush()
    except BrokenPipeError:
        if not reader_has_left():
            raise
        return 141  # as a shell reports SIGPIPE
    except BaseException as error:
        if (known := console.ending(error)) is None:
            raise
        line, code = known
        with suppress(OSError):  # the terminal is gone
            print(line, file=sys.stderr)
        return code
    return 0


def show_help() -> None:
    """Print the docstring of the command, its flags, and what --config takes."""
    print(sys.modules["__main__"].__doc__, flags.FLAGS.main_module_help(), sep="")
    print("\n" + loading.overview())


def reader_has_left() -> bool:
    """Return whether the reader of stdout has left, as after `| head`; if so, drop its rest."""
    try:
        print(flush=True)  # fails again, if it was stdout that broke
    except BrokenPipeError:
        # So that the flush at exit does not fail, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def parser(module: str, doc: str | None, with_config: bool = False) -> argparse.ArgumentParser:
    """Return the parser of a command.

    Args:
      module: what `python -m` runs.
      doc: its docstring, which --help prints.
      with_config: add --config. The command passes it to `config`, with the arguments that
        `parse_known_args` leaves.
    """
    found = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=not with_config,
    )
    if with_config:
        found.add_argument("--config", help=CONFIG_HELP)
        found.epilog = loading.overview()
    return found


def function(name: str, flag: str) -> Any:
    """Import the function MODULE:FUNCTION from an installed module or the current folder.

    Raises:
      UserError: the function does not exist; the message has the flag.
    """
    module, _, attribute = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{flag}={name}: {error}; it is MODULE:FUNCTION") from None


def config(
    base: str | ConfigDict | None,
    arguments: Sequence[str],
    *,
    of_checkpoint: bool = False,
    others: Iterable[str] = (),
) -> ConfigDict:
    """Return a config with the changes of a command line, checked.

    Args:
      base: what --config names, or a config.
      arguments: --config.KEY=VALUE and the like.
      of_checkpoint: `base` came with a checkpoint, so only the changes are checked.
      others: names of the other flags of the command.

    Raises:
      UsageError: --config or another argument is wrong.
      UserError: --config is missing, or the config is wrong.
    """
    try:
        if base is None:
            overrides.by_key(arguments, ConfigDict(), others)  # --config may be misspelled
        else:
            found = loading.load(base) if isinstance(base, str) else base
            changed = overrides.set_flags(found, arguments, others)
    except UserError as error:
        raise UsageError(str(error)) from error
    if base is None:
        raise UserError(
            "--config is needed: the name of a shipped config, such as quickstart, or a file;"
            " --help lists them"
        )
    schema.check(found, only=changed if of_checkpoint else None)
    options.complete(found)
    return found
