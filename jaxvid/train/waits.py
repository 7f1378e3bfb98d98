"""One hint when a run waits for its data: the slowest stage of reading, and what helps."""

import os
import time
from collections.abc import Mapping

from jaxvid.data.loading.loader import Batches
from jaxvid.distributed import peers

MUCH = 0.2  # of the time
LINES = 3  # of the log in a row; the first includes the start of the workers
IDLE = 0.5  # share of busy time below which workers wait, too
SHRINKS = ("Resize", "Crop", "Scale", "Flip", "Color", "Augment")  # in names of transforms


class Waits:
    """Watches the share of time that a run waits for data; gives its hint once.

    Args:
      stream: of the training batches.
    """

    def __init__(self, stream: Batches):
        self._stream, self._before = stream, dict(stream.seconds)
        self._began, self._count, self._said = time.monotonic(), 0, False

    def lines(self, share: float, step: float) -> list[str]:
        """The hint, as soon as a few lines of the log in a row show much waiting.

        Args:
          share: of the time since the last line.
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
    """What to do about waiting.

    Args:
      share: of the time that is spent waiting.
      step: seconds of a step.
      spent: seconds of each stage of reading, over all workers.
      elapsed: seconds in which they were spent.
      workers: processes that read; 0 when the main process does.
      cores: that this process may use; 0 when none is idle.
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
