"""Progress of a run: averages of its steps, the lines of its log, and its writers."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from rich.table import Table

from jaxvid import files, param_rules, writers
from jaxvid.log import duration

# {part of the name of a device: peak dense bfloat16 FLOP/s, from the data sheet of the vendor}.
PEAK_FLOPS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "V100": 125e12,
}


def peak_flops() -> float:
    """Return the peak FLOP/s of one device, 0 if it is unknown."""
    kind = jax.devices()[0].device_kind
    return next((flops for name, flops in PEAK_FLOPS.items() if name in kind), 0.0)


def parameter_table(params) -> Table:
    """Return a table of the parameters by module, for two levels of modules."""
    rows: dict[str, tuple[int, int]] = {}
    for path, leaf in param_rules.flatten(params).items():
        module = "/".join(path.split("/")[:2])
        count, size = rows.get(module, (0, 0))
        rows[module] = count + 1, size + int(np.prod(leaf.shape))
    total = sum(size for _, size in rows.values())
    table = Table(title=f"{total:,} parameters ({total / 1e6:.1f} M)", title_justify="left")
    for header in ("module", "arrays", "parameters"):
        table.add_column(header, justify="left" if header == "module" else "right")
    for module, (count, size) in rows.items():
        table.add_row(module, str(count), f"{size:,}")
    return table


class Writer:
    """Passes the numbers and images of a run to its writers, in process 0.

    Args:
      workdir: folder of the run.
      step: step that the run continues from. Entries of later steps are removed, because their
        work was lost. With None, entries are only added.
      names: names of modules in `jaxvid.writers`.
    """

    def __init__(
        self, workdir: str | Path, step: int | None = None, names: Sequence[str] = writers.DEFAULT
    ):
        self._writers: list[writers.Writer] = []
        if jax.process_index() == 0:
            with files.explained(workdir):
                Path(workdir).mkdir(parents=True, exist_ok=True)
                self._writers = writers.build(names, Path(workdir), step)
        self._workdir = workdir

    def write(self, step: int, epoch: float, values: Mapping[str, float]):
        values = {"epoch": round(epoch, 4), "time": round(time.time(), 3), **values}
        with files.explained(self._workdir):
            for writer in self._writers:
                writer.write(step, values)

    def picture(self, step: int, name: str, pixels: np.ndarray):
        """Write an image, uint8 (h, w, 3)."""
        with files.explained(self._workdir):
            for writer in self._writers:
                writer.picture(step, name, pixels)

    def close(self):
        for writer in self._writers:
            writer.close()


class Progress:
    """Averages the logs of steps since the last line of the log, and formats the line.

    The logs of steps stay on the device until an average is needed. Steps whose loss or gradient
    was not finite do not count.

    Args:
      total: number of steps of the run.
      batch: number of clips of a step.
      flops: floating-point operations of a step on one device; 0 if unknown.
      state: state of an earlier Progress, whose averages continue without a break.
    """

    def __init__(self, total: int, batch: int, flops: float = 0.0, state: Mapping | None = None):
        self.total, self.batch, self.flops = total, batch, flops
        self._sums: dict[str, float] = dict((state or {}).get("sums", {}))
        self._count: int = (state or {}).get("count", 0)
        self._seconds = self._waited = 0.0
        self._timed = 0
        self._steps: list[tuple[Mapping[str, jax.Array], float, float]] = []

    def add(self, logs: Mapping[str, jax.Array], seconds: float, waited: float):
        """Add a step.

        Args:
          logs: logs of the step.
          seconds: duration of the step.
          waited: seconds of it that were spent waiting for data.
        """
        self._steps.append((logs, seconds, waited))

    def state(self) -> dict:
        """Return the state for a checkpoint."""
        self._settle()
        return {"sums": dict(self._sums), "count": self._count}

    @property
    def steps(self) -> int:
        """Return the number of steps since the last line."""
        self._settle()
        return self._timed

    def flush(self) -> dict[str, float]:
        """Return the averages by the names in metrics.jsonl, and start new ones."""
        self._settle()
        values = {f"train/{k}": v / self._count for k, v in self._sums.items()}
        seconds = max(self._seconds, 1e-9)
        values |= {
            "train/step_time": seconds / self._timed,
            "train/clips_per_s": self.batch * self._timed / seconds,
            "train/data_wait": self._waited / seconds,
        }
        if self.flops and (peak := peak_flops()):
            values["train/mfu"] = self.flops * self._timed / seconds / peak
        self._sums, self._count, self._timed = {}, 0, 0
        self._seconds = self._waited = 0.0
        return values

    def line(self, step: int, epoch: float, values: Mapping[str, float]) -> str:
        left = (self.total - step) * values["train/step_time"]
        shown = [f"step {step}/{self.total}", f"epoch {epoch:.2f}", f"eta {duration(left)}"]
        shown += [f"loss {values['train/loss']:.4f}", f"lr {values['train/lr']:.2e}"]
        if "train/top1" in values:
            shown.append(f"top1 {values['train/top1']:.1%}")
        shown.append(f"{values['train/clips_per_s']:.1f} clips/s")
        shown.append(f"{values['train/step_time'] * 1e3:.0f} ms/step")
        shown.append(f"data wait {values['train/data_wait']:.0%}")
        if "train/mfu" in values:
            shown.append(f"mfu {values['train/mfu']:.1%}")
        return "  ".join(shown)

    def _settle(self):
        """Get the logs of the steps so far from the device, and add them up in order."""
        steps, self._steps = self._steps, []
        logs = jax.device_get([logs for logs, _, _ in steps])
        for values, (_, seconds, waited) in zip(logs, steps, strict=True):
            if is_finite(values):
                for name, value in values.items():
                    self._sums[name] = self._sums.get(name, 0.0) + float(value)
                self._count += 1
                self._timed += 1
                self._seconds += seconds
                self._waited += waited


def is_finite(logs: Mapping[str, jax.Array]) -> bool:
    """Return whether the loss and the gradient of a step are finite. Waits for the step."""
    return math.isfinite(float(logs["loss"])) and math.isfinite(float(logs["grad_norm"]))


def metrics_line(values: Mapping[str, float]) -> str:
    """Format metrics as one line: fractions as percentages; losses, ranks and counts as numbers."""

    def text(key, value):
        name = key.rpartition("/")[2]
        if name == "n":
            return f"{key} {value:,.0f}"
        fraction = 0 <= value <= 1 and not name.endswith(("_rank", "loss"))
        return f"{key} {value:.2%}" if fraction else f"{key} {value:.4g}"

    return "  ".join(text(k, v) for k, v in values.items())
