"""Log of a run: averages of its steps, metrics of evaluations, and hints on its speed."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax

from jaxvid import log
from jaxvid.data.loading.loader import Batches
from jaxvid.data.loading.steps import Joined
from jaxvid.distributed.stragglers import Stragglers
from jaxvid.train import figures
from jaxvid.train.calendar import Calendar
from jaxvid.train.plan import Plan
from jaxvid.train.progress import Progress, Writer, metrics_line, peak_flops
from jaxvid.train.step import Compiled
from jaxvid.train.waits import Waits

logger = logging.getLogger(__name__)


class RunLog:
    """Prints the lines of a run, and passes its numbers to its writers.

    Args:
      workdir: folder of the run.
      planned: the plan of the run.
      when: steps at which to log.
      start: step that the run continues from.
      train_step: the compiled step, whose recompilations are counted.
      stream: the training batches.
      batch: a batch.
      averages: result of `state` from before a restart.
    """

    def __init__(
        self,
        workdir: Path,
        planned: Plan,
        when: Calendar,
        start: int,
        train_step: Compiled,
        stream: Batches | Joined,
        batch: Mapping[str, jax.Array],
        averages: Mapping | None = None,
    ):
        config = planned.config
        flops = planned.flops(batch) if peak_flops() else 0.0
        self._planned, self._when, self._train_step = planned, when, train_step
        self._progress = Progress(when.total, config.batch, flops, averages)
        self._stragglers, self._waits = Stragglers(), Waits(stream)
        self._writer = Writer(workdir, start, config.writers)
        self._waited = 0.0
        self.restart_clock()

    def write_clips(self, step: int, batch: Mapping[str, jax.Array], names: Sequence[str]):
        """Write the first clips of a batch with their classes as an image, if it has videos."""
        if (sheet := figures.of_batch(batch, names)) is not None:
            self._writer.picture(step, "train/clips", sheet)

    def add_wait(self, seconds: float):
        """Add time in which the device waited for data."""
        self._waited += seconds

    def add(self, step: int, logs: Mapping[str, jax.Array]):
        """Add a step that is done to the averages, and write a line of the log if one is due.

        The duration of the step is the time since the step before it was done.
        """
        began = self._clock
        self.restart_clock()
        self._progress.add(logs, self._clock - began, self._waited)
        self._waited = 0.0
        if step in self._when.lines:
            self._write_averages(step)

    def restart_clock(self):
        """Start to measure the duration of the next step."""
        self._clock = time.monotonic()

    def _write_averages(self, step: int):
        """Print and write the averages since the last line, with hints on a slow run."""
        if not self._progress.steps:
            return
        values = self._progress.flush() | {"train/lr": self._planned.rate(step - 1)}
        values["train/recompiles"] = self._train_step.count - 1
        epoch, wait = self._when.epoch(step), values["train/data_wait"]
        self._writer.write(step, epoch, values)
        logger.info(self._progress.line(step, epoch, values))
        log.bullets(logger, self._stragglers.lines(wait))
        log.bullets(logger, self._waits.lines(wait, values["train/step_time"]))

    def write_metrics(self, step: int, values: Mapping[str, float]):
        """Print and write the metrics of an evaluation, if there are any."""
        if values:
            self._writer.write(step, self._when.epoch(step), values)
            logger.info(f"step {step}/{self._when.total}  {metrics_line(values)}")

    def state(self) -> dict:
        """Return the state for a checkpoint, with which averages continue after a restart."""
        return self._progress.state()

    def close(self):
        self._writer.close()
