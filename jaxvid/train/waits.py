"""Hint for a run that waits for its data: the slowest stage of reading, and a remedy."""

import os
import time
from collections.abc import Mapping

from jaxvid.data.loading.loader import Batches
from jaxvid.data.loading.steps import Joined
from jaxvid.distributed import peers

MUCH = 0.2  # share of the time
LINES = 3  # consecutive lines of the log; the first one includes the start of the workers
IDLE = 0.5  # share of busy time below which workers are waiting, too
SHRINKS = ("Resize", "Crop", "Scale", "Flip", "Color", "Augment")  # in names of transforms


class Waits:
    """Watches the share of the time that a run waits for data, and gives one hint.

    Args:
      stream: the training batches.
    """

    def __init__(self, stream: Batches | Joined):
        self._stream, self._before = stream, dict(stream.seconds)
        self._began, self._count, self._said = time.monotonic(), 0, False

    def lines(self, share: float, step: float) -> list[str]:
        """Return the hint once, when `LINES` consecutive lines of the log show much waiting.

        Args:
          share: share of the time since the last line that was spent waiting.
          step: seconds of a step.
        """
        self._count = self._count + 1 if share > MUCH else 0
        if self._said or self._count < LINES:
            return []
        self._said = True
        now = self._stream.seconds
        spent = {stage: now[stage] - self._before[stage] for stage in now}
        elapsed = max(time.monotonic() - self._began, 1e-9)
        cores = peers.workers(-1)
        idle = cores - os.getloadavg()[0] >= 1
        return [hint(share, step, spent, elapsed, self._stream.workers, cores if idle else 0)]


def hint(
    share: float, step: float, spent: Mapping[str, float], elapsed: float, workers: int, cores: int
) -> str:
    """Return the hint for a run that waits for its data.

    Args:
      share: share of the time that is spent waiting.
      step: seconds of a step.
      spent: seconds that all workers together spent in each stage of reading.
      elapsed: seconds in which they did so.
      workers: number of processes that read; 0 if the main process does.
      cores: number of cores that this process may use; 0 if none is idle.
    """
    stage = max(spent, key=lambda name: spent[name])
    total = max(sum(spent.values()), 1e-9)
    busy = total / (elapsed * max(workers, 1))
    fixes = []
    if workers and busy < IDLE:
        slowest = f"transport (workers read only {busy:.0%} of the time)"
        fixes.append("smaller batches, frames or crops make it quicker")
    else:
        slowest = f"{stage} ({spent[stage] / total:.0%} of the time of reading)"
        if workers < cores:
            fixes.append(f"--config.loader.workers={cores} uses idle cores (now {workers})")
        if stage == "Decode":
            fixes.append("`python -m jaxvid.tools.transcode` makes copies that are quick to decode")
        elif any(word in stage for word in SHRINKS):
            fixes.append("`python -m jaxvid.tools.transcode --short-side N` makes smaller copies")
    milliseconds = step * (1 - share) * 1e3
    fixes.append(
        "`python -m jaxvid.tools.bench_loader --config ... --step-ms"
        f" {max(milliseconds, 1):.0f}` times each stage"
    )
    return (
        f"{share:.0%} of the time is spent waiting for data: the slowest stage is {slowest}; "
        + ("; ".join(fixes))
    )
