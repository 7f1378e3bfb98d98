"""WORKDIR/metrics.jsonl: one JSON object a line."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxvid import files


class Lines:
    """Appends lines; those beyond `step` are cut first."""

    def __init__(self, path: Path, step: int | None):
        if step is not None and path.exists():
            kept = [line for line in path.read_text().splitlines() if _step(line) <= step]
            files.write_text(path, "".join(line + "\n" for line in kept))
        self._file = path.open("a")

    def write(self, step: int, values: Mapping[str, float]):
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def picture(self, step: int, name: str, pixels: np.ndarray):
        """A file of numbers has no pictures."""

    def close(self):
        self._file.close()


def build(workdir: Path, step: int | None) -> Lines:
    return Lines(workdir / "metrics.jsonl", step)


def records(workdir: Path) -> list[dict]:
    """The lines of a run so far, without one that is cut short; empty where there is no file."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if _step(line) < float("inf")]


def _step(line: str) -> float:
    """Of a line of metrics.jsonl; a line cut short by a kill is of no step that counts."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")
