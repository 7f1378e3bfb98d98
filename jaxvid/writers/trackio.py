"""Writer for Trackio, which shows runs on this machine: `trackio show`."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxvid import provenance, writers

PACKAGE = "trackio"


class Run:
    """A run of Trackio, named after its workdir. A restart in the workdir continues it."""

    def __init__(self, workdir: Path):
        self._trackio = writers.package(PACKAGE)
        self._run = self._trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", "jaxvid"),
            name=workdir.resolve().name,
            resume="allow",
            config=provenance.read_settings(workdir / "config.json") or {},
        )

    def write(self, step: int, values: Mapping[str, float]):
        self._trackio.log(dict(values), step=step)

    def picture(self, step: int, name: str, pixels: np.ndarray):
        self._trackio.log({name: self._trackio.Image(pixels)}, step=step)

    def close(self):
        self._trackio.finish()


def build(workdir: Path, step: int | None) -> Run:
    return Run(workdir)
