"""A table that is printed and saved row by row, so that a stopped benchmark can continue."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def measure(
    jobs: Iterable[tuple[Row, Callable[[], Row]]],
    columns: Iterable[str],
    path: Path | None = None,
    seconds: float = float("inf"),
) -> None:
    """Print a table, and measure the rows that a file does not have.

    Args:
      jobs: For each row, the values that identify it, and a function that measures the others.
      columns: Names of the values that are printed.
      path: A file of JSON lines, to which each row is added as soon as it is measured.
      seconds: No measurement starts later than this.
    """
    end = time.monotonic() + seconds
    columns, saved = list(columns), read(path) if path else []
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    for identity, job in jobs:
        row = next((row for row in saved if identity.items() <= row.items()), None)
        if row is None:
            if time.monotonic() > end:
                print("The time is over. The same command measures the other rows.", flush=True)
                return
            row = identity | job()
            if path:
                add(path, row)
        print(f"| {' | '.join(str(row[column]) for column in columns)} |", flush=True)


def add(path: Path, row: Row) -> None:
    """Add a row to a file."""
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def read(path: Path) -> list[Row]:
    """Return the rows of a file; an unfinished last line is removed from it."""
    text = path.read_text() if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]
