"""Names of formulations: a measured rule chooses one of an operation's, unless a name is forced.

`ops.attention` and `ops.conv` compute the same result in several ways. Tests, benchmarks and
measurements force one of them for a block of code, `with forced(attention="plain"):`, or for a
process, by the environment variable JAXVID_ATTENTION=plain. The choice is made while a program is
traced; a compiled program keeps the choice it was traced with.
"""

import logging
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from jaxvid.errors import UserError, did_you_mean

_FORCED: ContextVar[dict[str, str]] = ContextVar("forced", default={})  # noqa: B039


@contextmanager
def forced(**names: str) -> Iterator[None]:
    """Use the formulations `names` of operations in this block: `forced(attention="plain")`."""
    token = _FORCED.set(_FORCED.get() | names)
    try:
        yield
    finally:
        _FORCED.reset(token)


def forced_name(operation: str, known: Collection[str]) -> str | None:
    """Return the formulation that is forced for `operation`; None leaves the choice to its rule.

    Raises:
      UserError: no formulation has this name.
    """
    variable = f"JAXVID_{operation.upper()}"
    name = _FORCED.get().get(operation) or os.environ.get(variable)
    if name and name not in known:
        hint = did_you_mean(name, known)
        raise UserError(f'{variable}: no formulation of {operation} is called "{name}".{hint}')
    return name or None


@cache
def log_once(module: str, line: str) -> None:
    """Log a line for the user by the logger of `module`, once in a process."""
    logging.getLogger(module).info(line)
