"""What a run prints: a copy of it in a file, and no error when the terminal is closed."""

import contextlib
import errno
import re
import shlex
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from jaxvid import files, signals
from jaxvid.errors import UserError

ESCAPES = re.compile(r"\x1b\[[\d;]*[A-Za-z]")  # colors of a terminal


class Copied:
    """A text stream whose text also goes to a file, flushed at once.

    Args:
      copy: the file; None for no copy.
    """

    def __init__(self, stream: TextIO, copy: TextIO | None):
        self._stream, self._copy = stream, copy

    def write(self, text: str) -> int:
        if self._copy is not None:
            append(self._copy, ESCAPES.sub("", text))
        with lasting():
            self._stream.write(text)
        return len(text)

    def flush(self):
        with lasting():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def copied(path: Path | None) -> Iterator[None]:
    """Append what the block prints to `path`, after the time and the command, and why it ended.

    The block goes on when the terminal is closed.

    Args:
      path: in a folder that exists; None for no copy.
    """
    with contextlib.ExitStack() as stack:
        copy = None
        if path is not None:
            with files.explained(path):
                copy = stack.enter_context(path.open("a", encoding="utf-8"))
            append(copy, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {shlex.join(sys.argv)}\n")
        stack.enter_context(contextlib.redirect_stdout(Copied(sys.stdout, copy)))  # type: ignore[type-var]
        stack.enter_context(contextlib.redirect_stderr(Copied(sys.stderr, copy)))  # type: ignore[type-var]
        try:
            yield
        except BaseException as error:
            if copy is not None:
                append(copy, why(error))
            raise


def append(copy: TextIO, text: str):
    """Write to a file at once; a full disk is for the next checkpoint to report."""
    with contextlib.suppress(OSError):
        copy.write(text)
        copy.flush()


def why(error: BaseException) -> str:
    """Return what a command prints of the error that ends it."""
    known = ending(error)
    return f"{known[0]}\n" if known else "".join(traceback.format_exception(error))


def ending(error: BaseException) -> tuple[str, int] | None:
    """Return the line and the exit code for an error that a user can mend, or for a signal.

    Returns:
      None for any other error, which needs its traceback.
    """
    if isinstance(error, UserError):
        return f"error: {error}", error.exit_code
    if isinstance(error, KeyboardInterrupt):
        code = error.code if isinstance(error, signals.Stopped) else 130
        return str(error) or "interrupted", code
    if isinstance(error, OSError) and error.errno == errno.EACCES and error.filename:
        return f"error: {error.filename}: no permission to read or write this", 1
    if isinstance(error, OSError) and error.errno in files.DISK:
        return f"error: {files.explain(error, error.filename or 'a file')}", 1
    return None


@contextlib.contextmanager
def lasting() -> Iterator[None]:
    """Let writing to a terminal that was closed be no error, now and later."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        signals.leave_dead_terminal()
