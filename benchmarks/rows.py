"""Rows of a benchmark: printed and saved one by one, so that a stopped run goes on where it was."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Key = tuple[Any, ...]


class Rows:
    """A table that grows in a file of JSON lines, and on stdout.

    Args:
      path: The file; None keeps nothing.
      key: Names of the columns that identify a row.
      columns: Names of all columns that are printed.
      seconds: No measurement starts later than this; 0 sets no end.
    """

    def __init__(self, path: Path | None, key: Key, columns: Key, seconds: float = 0):
        self.path, self.key, self.columns = path, key, columns
        self.end = time.monotonic() + seconds if seconds else float("inf")
        lines = path.read_text().splitlines() if path and path.exists() else []
        self.saved = [json.loads(line) for line in lines]

    def measure(self, jobs: Iterator[tuple[dict, Callable[[], dict]]]) -> bool:
        """Run jobs, pairs of the identifying columns and a function that returns the others.

        Returns:
          Whether all rows are there: False if the time ended before.
        """
        print(f"| {' | '.join(self.columns)} |\n|{'---|' * len(self.columns)}", flush=True)
        saved = {self._key(row): row for row in self.saved}
        for columns, job in jobs:
            row = saved.get(self._key(columns))
            if row is None:
                if time.monotonic() > self.end:
                    print("The time is over. The same command goes on from here.")
                    return False
                row = columns | job()
                if self.path:
                    with self.path.open("a") as file:
                        file.write(json.dumps(row) + "\n")
            print(f"| {' | '.join(str(row[name]) for name in self.columns)} |", flush=True)
        return True

    def _key(self, row: dict) -> Key:
        return tuple(row[name] for name in self.key)
