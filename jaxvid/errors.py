"""The error a user can mend: shown as one line, without a traceback."""

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """Bad input. The message names the file, key or line and what to do about it.

    Attributes:
      exit_code: of a command that ends with it.
    """

    exit_code = 1


class UsageError(UserError):
    """A command line that is wrong."""

    exit_code = 2


def first(items: Sequence[str], most: int = 10, hint: str = "") -> list[str]:
    """Return the first `most` items of a list, and '... and 7 more' where there are others.

    Args:
      hint: what to add to that last line.
    """
    rest = len(items) - most
    return [*items[:most], *([f"... and {rest:,} more{hint}"] if rest > 0 else [])]


def problems(title: str, lines: Sequence[str], most: int = 10) -> UserError:
    """Return an error with a title and the first problems, one on a line."""
    return UserError("\n  ".join([title, *first(lines, most)]))


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean "x"?' for the nearest known name, in any case; "" if none is near."""
    lower = {other.lower(): other for other in sorted(known)}
    near = difflib.get_close_matches(name.lower(), sorted(lower), n=1, cutoff=0.5)
    return f' Did you mean "{lower[near[0]]}"?' if near else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean "x"?' for the nearest known name, else the list of all names."""
    known = sorted(known)
    return nearest(name, known) or (f" Known: {', '.join(known)}." if known else "")
