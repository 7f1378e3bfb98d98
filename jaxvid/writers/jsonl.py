"""Writer of WORKDIR/metrics.jsonl: one JSON object per line."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxvid import files


class Lines:
    """Appends lines to the file, after removing the lines of steps after `step`."""

    def __init__(self, path: Path, step: int | None):
        if step is not None and path.exists():
            kept = [line for line in path.read_text().splitlines() if _step(line) <= step]
            files.write_text(path, "".join(line + "\n" for line in kept))
        self._file = path.open("a")

    def write(self, step: int, values: Mapping[str, float]):
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def picture(self, step: int, name: str, pixels: np.ndarray):
        """Do nothing, because the file has no pictures."""

    def close(self):
        self._file.close()


def build(workdir: Path, step: int | None) -> Lines:
    return Lines(workdir / "metrics.jsonl", step)


def records(workdir: Path) -> list[dict]:
    """Return the lines of a run so far, without an incomplete one; empty if there is no file."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if _step(line) < float("inf")]


def _step(line: str) -> float:
    """Return the step of a line of metrics.jsonl; infinity if a kill left the line incomplete."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")
