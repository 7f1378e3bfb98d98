"""WORKDIR/tensorboard: event files, which `tensorboard --logdir WORKDIR` shows."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

from jaxvid.draw.canvas import png


class Board:
    """Writes events; TensorBoard hides those of an earlier start beyond `step`."""

    def __init__(self, folder: Path, step: int | None):
        self._board = SummaryWriter(str(folder), purge_step=None if step is None else step + 1)

    def write(self, step: int, values: Mapping[str, float]):
        for name, value in values.items():
            if "/" in name:
                self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, pixels: np.ndarray):
        height, width, _ = pixels.shape
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=png(pixels)
        )
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        events = self._board.file_writer
        assert events is not None  # it is open
        events.add_summary(summary, step)

    def close(self):
        self._board.close()


def build(workdir: Path, step: int | None) -> Board:
    return Board(workdir / "tensorboard", step)
