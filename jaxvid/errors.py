"""The error a user can mend: shown as one line, without a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input. The message names the file, key or line and what to do about it."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean "x"?' for the nearest known name, else the list of all names."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f' Did you mean "{near[0]}"?'
    return f" Known: {', '.join(known)}." if known else ""
