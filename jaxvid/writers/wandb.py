"""Writer for Weights & Biases, whose WANDB_* variables set project, account and offline mode."""

import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxvid import files, provenance, writers

PACKAGE = "wandb"
AXIS = "step"


class Run:
    """A run of Weights & Biases. A restart in the same workdir continues it.

    Steps are written as values, because W&B's own counter cannot go back, as a run does that was
    killed after its last checkpoint.
    """

    def __init__(self, workdir: Path):
        self._wandb = writers.package(PACKAGE)
        known = workdir / "wandb_id"
        if not known.exists():
            files.write_text(known, uuid.uuid4().hex[:12])
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", "jaxvid"),
            id=known.read_text().strip(),
            name=workdir.resolve().name,
            dir=str(workdir),
            resume="allow",
            config=provenance.read_settings(workdir / "config.json") or {},
        )
        self._run.define_metric(AXIS, hidden=True)
        self._run.define_metric("*", step_metric=AXIS)

    def write(self, step: int, values: Mapping[str, float]):
        self._run.log({AXIS: step, **values})

    def picture(self, step: int, name: str, pixels: np.ndarray):
        self._run.log({AXIS: step, name: self._wandb.Image(pixels)})

    def close(self):
        self._run.finish()


def build(workdir: Path, step: int | None) -> Run:
    return Run(workdir)
