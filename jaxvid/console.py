"""Output of a run: a copy in a file, and no error if the terminal is closed."""

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

ESCAPES = re.compile(r"\x1b\[[\d;]*[A-Za-z]")  # escape codes, such as colors of a terminal


class Copied:
    """A text stream that also writes to a file, and flushes it at once.

    Args:
      stream: the stream.
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
    """Append the output of the block to a file, with time and command before and any error after.

    The block continues if the terminal is closed.

    Args:
      path: the file, in an existing folder; None for no copy.
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
    """Write to a file and flush it. Errors are ignored: the next checkpoint reports a full disk."""
    with contextlib.suppress(OSError):
        copy.write(text)
        copy.flush()


def why(error: BaseException) -> str:
    """Return the text that a command prints for the error that ends it."""
    known = ending(error)
    return f"{known[0]}\n" if known else "".join(traceback.format_exception(error))


def ending(error: BaseException) -> tuple[str, int] | None:
    """Return the message and the exit code for an error that a user can fix, or for a signal.

    Returns:
      None for any other error, whose traceback should be printed.
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
    """Make writing to a closed terminal no error, in the block and after it."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        signals.leave_dead_terminal()
