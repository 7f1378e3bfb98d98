"""Log messages, by the standard `logging` with a logger for each module.

The logger "jaxvid" has a handler that writes to the terminal. As with any logger, the level, the
handlers and `propagate` of `logging.getLogger("jaxvid")` can be changed.
"""

import functools
import logging
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class Terminal(logging.Handler):
    """Writes messages of process 0, and warnings and errors of all processes, to the terminal.

    If there are several processes, warnings and errors begin with the name of the process.

    Attributes:
      on_stdout: write to stdout instead of stderr. Errors are always written to stderr.
      process: returns the index of this process and the number of processes.
    """

    def __init__(self):
        super().__init__()
        self.on_stdout = False
        self.process: Callable[[], tuple[int, int]] = lambda: (0, 1)

    def emit(self, record: logging.LogRecord):
        is_error = record.levelno >= logging.ERROR
        if record.levelno < logging.WARNING and self.process()[0] != 0:
            return
        name = process() if record.levelno >= logging.WARNING else ""
        start = f"{'error: ' * is_error}{name}{': ' * bool(name)}"
        stream = sys.stdout if self.on_stdout and not is_error else sys.stderr
        stream.write(f"{start}{record.getMessage()}\n")
        stream.flush()


TERMINAL = Terminal()


def start():
    """Add the handler to the logger "jaxvid"."""
    logger = logging.getLogger("jaxvid")
    logger.addHandler(TERMINAL)
    logger.setLevel(logging.INFO)
    logger.propagate = False


@contextmanager
def on_stdout() -> Iterator[None]:
    """Log to stdout while the block runs, for commands that print no results there."""
    before, TERMINAL.on_stdout = TERMINAL.on_stdout, True
    try:
        yield
    finally:
        TERMINAL.on_stdout = before


@functools.cache
def warn_once(logger: logging.Logger, text: str):
    """Log a warning that all processes of a run would log, such as one about a line of a list.

    Only process 0 logs it, and only once, even if a run reads the same file several times.
    """
    if TERMINAL.process()[0] == 0:
        logger.warning(text, stacklevel=2)


def process() -> str:
    """Return the name of this process, 'process 1 of 4 (host)'; '' if there is only one."""
    index, count = TERMINAL.process()
    return f"process {index} of {count} ({socket.gethostname()})" if count > 1 else ""


def bullets(logger: logging.Logger, lines: Iterable[str]):
    """Log lines with an indentation."""
    for line in lines:
        logger.info(f"  {line}")


def show(table: Any):
    """Print a table of `rich` in process 0."""
    from rich.console import Console

    if TERMINAL.process()[0] == 0:
        Console(soft_wrap=True, highlight=False).print(table)


def duration(seconds: float) -> str:
    """Format a number of seconds: 3725 as '1:02:05'."""
    seconds = int(seconds)
    hours, rest = divmod(seconds, 3600)
    clock = f"{rest // 60:02d}:{rest % 60:02d}"
    return f"{hours}:{clock}" if hours else clock


def size(count: float) -> str:
    """Format a number of bytes, as '1.5 GiB'."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
