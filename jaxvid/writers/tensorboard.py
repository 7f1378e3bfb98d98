"""Writer of event files in WORKDIR/tensorboard, which `tensorboard --logdir WORKDIR` shows."""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

from jaxvid.draw.canvas import png

QUEUE = 1000  # maximum number of events that wait for the thread

logger = logging.getLogger(__name__)


class Board:
    """Writes events. TensorBoard hides events after `step` from before a restart.

    A thread of tensorboardX writes the file. It ends if it cannot write, as on a full disk. Adding
    events to its full queue would then never return, so a board drops events without its thread.
    """

    def __init__(self, folder: Path, step: int | None):
        others, purge = set(threading.enumerate()), None if step is None else step + 1
        self._folder, self._writes = folder, True
        self._board = SummaryWriter(str(folder), purge_step=purge, max_queue=QUEUE)
        self._threads = set(threading.enumerate()) - others

    def writes(self) -> bool:
        """Return whether events are still written to the file. Warns once if they are not."""
        if self._writes and not all(thread.is_alive() for thread in self._threads):
            self._writes = False
            logger.warning(
                f"warning: {self._folder}: writing failed, so TensorBoard shows no more of this run"
            )
        return self._writes

    def write(self, step: int, values: Mapping[str, float]):
        for name, value in values.items():
            if "/" in name and self.writes():
                self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, pixels: np.ndarray):
        if not self.writes():
            return
        height, width, _ = pixels.shape
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=png(pixels)
        )
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        events = self._board.file_writer
        assert events is not None  # it is open
        events.add_summary(summary, step)

    def close(self):
        if self.writes():
            self._board.close()


def build(workdir: Path, step: int | None) -> Board:
    return Board(workdir / "tensorboard", step)
