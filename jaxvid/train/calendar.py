"""Steps of a run after which it logs, evaluates and saves."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxvid.train.multigrid import Grid

LOG_EVERY, LINES = 50, 10  # steps between two lines, and minimum number of lines of a run


@dataclass(frozen=True)
class Calendar:
    """The steps of a run after which something happens.

    Attributes:
      total: the last step.
      lines: steps with a line of averages.
      evaluations: steps with a validation.
      saves: steps with a checkpoint.
    """

    steps_per_epoch: float
    total: int
    lines: frozenset[int]
    evaluations: frozenset[int]
    saves: frozenset[int]
    grid: Grid | None = None

    @classmethod
    def of(cls, config: Any, clips: int, grid: Grid | None = None) -> "Calendar":
        """Return the calendar of a run.

        Args:
          clips: number of clips of an epoch.
          grid: the shapes of all steps, with multigrid training.
        """
        steps_per_epoch = clips / config.batch
        if grid:
            total, last = grid.total, int(grid.phase_epochs[-1] / (config.eval_every or np.inf))
            epochs = (config.eval_every * i for i in range(1, last + 1))
            evaluations = frozenset({*map(grid.step_at, epochs), total})
        else:
            total = max(1, round(config.epochs * steps_per_epoch))
            evaluations = milestones(config.eval_every * steps_per_epoch, total)
        saves = milestones(config.save_every, total) | evaluations
        lines = milestones(config.log_every or max(1, min(LOG_EVERY, total // LINES)), total)
        return cls(steps_per_epoch, total, lines, evaluations, saves, grid)

    def epoch(self, step: int) -> float:
        """Return the number of epochs that a number of steps is, which can be a fraction."""
        return float(self.grid.epoch(step)) if self.grid else step / self.steps_per_epoch


def milestones(every: float, total: int) -> frozenset[int]:
    """Return the steps at each multiple of `every` (none if it is 0), and the last step."""
    count = int(total / every + 1e-9) if every else 0
    return frozenset({max(1, round(i * every)) for i in range(1, count + 1)} | {total})
