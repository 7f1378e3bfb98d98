"""Steps of a run after which it logs, evaluates and saves."""

from dataclasses import dataclass
from typing import Any

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

    @classmethod
    def of(cls, config: Any, clips: int) -> "Calendar":
        """Return the calendar of a run.

        Args:
          clips: number of clips of an epoch.
        """
        steps_per_epoch = clips / config.batch
        total = max(1, round(config.epochs * steps_per_epoch))
        evaluations = milestones(config.eval_every * steps_per_epoch, total)
        saves = milestones(config.save_every, total) | evaluations
        lines = milestones(config.log_every or max(1, min(LOG_EVERY, total // LINES)), total)
        return cls(steps_per_epoch, total, lines, evaluations, saves)

    def epoch(self, step: int) -> float:
        """Return the number of epochs that a number of steps is, which can be a fraction."""
        return step / self.steps_per_epoch


def milestones(every: float, total: int) -> frozenset[int]:
    """Return the steps at each multiple of `every` (none if it is 0), and the last step."""
    count = int(total / every + 1e-9) if every else 0
    return frozenset({max(1, round(i * every)) for i in range(1, count + 1)} | {total})
