"""What a run says: on the terminal, and to its writers.

Process 0 alone prints and writes. Warnings and errors come from any process and name it.
"""

import socket
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from jax._src.distributed import global_state  # known before the devices are, unlike public names
from rich.console import Console
from rich.table import Table

from jaxvid import files, param_rules, writers

# Peak dense bfloat16 FLOP/s by a part of the device's name (vendor data sheets).
PEAK_FLOPS = {
    "B200": 2250e12, "H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12,
    "L40S": 362e12, "L4": 121e12, "A10": 125e12, "V100": 125e12,
}  # fmt: skip

console = Console(soft_wrap=True, highlight=False)


def say(message: str = ""):
    if jax.process_index() == 0:
        console.print(message, markup=False)


def warn(message: str):
    """From any process."""
    console.print(f"{process()}: {message}" if process() else message, markup=False)


def complain(message: str):
    """An error of any process, also while the processes have not met."""
    name = f"{process()}: " if process() else ""
    print(f"error: {name}{message}", file=sys.stderr, flush=True)


def process() -> str:
    """'process 1 of 4 (host)'; '' where there is only one."""
    index, count = global_state.process_id, global_state.num_processes
    return f"process {index} of {count} ({socket.gethostname()})" if count > 1 else ""


def devices() -> str:
    """'8 x NVIDIA H200 in 1 process'."""
    kinds = jax.devices()
    many = f"{jax.process_count()} processes" if jax.process_count() > 1 else "1 process"
    return f"{len(kinds)} x {kinds[0].device_kind} in {many}"


def peak_flops() -> float:
    """Of one device, 0 where unknown."""
    kind = jax.devices()[0].device_kind
    return next((flops for name, flops in PEAK_FLOPS.items() if name in kind), 0.0)


def parameter_table(params) -> Table:
    """Parameters by module, two levels deep."""
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


def show(table: Table):
    if jax.process_index() == 0:
        console.print(table)


def duration(seconds: float) -> str:
    """3725 -> '1:02:05'."""
    seconds = int(seconds)
    hours, rest = divmod(seconds, 3600)
    clock = f"{rest // 60:02d}:{rest % 60:02d}"
    return f"{hours}:{clock}" if hours else clock


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


class Writer:
    """Gives the numbers and pictures of a run to its writers, in process 0.

    Args:
      workdir: folder of the run.
      step: where the run goes on; what was written beyond it is of work that was lost, and is cut.
        None only adds.
      names: modules of `jaxvid.writers`.
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
        """A picture, uint8 (h, w, 3)."""
        with files.explained(self._workdir):
            for writer in self._writers:
                writer.picture(step, name, pixels)

    def close(self):
        for writer in self._writers:
            writer.close()


class Progress:
    """Averages over the steps since the last line, and the line itself.

    Args:
      total: steps of the run.
      batch: clips of a step.
      flops: of a step on one device; 0 where unknown.
      state: of an earlier Progress; the averages go on as if never interrupted.
    """

    def __init__(self, total: int, batch: int, flops: float = 0.0, state: Mapping | None = None):
        self.total, self.batch, self.flops = total, batch, flops
        self._sums: dict[str, float] = dict((state or {}).get("sums", {}))
        self._count: int = (state or {}).get("count", 0)
        self._seconds = self._waited = 0.0
        self._timed = 0
        self._began = time.monotonic()

    def state(self) -> dict:
        """What a checkpoint holds of it: a copy, as saving goes on while steps are added."""
        return {"sums": dict(self._sums), "count": self._count}

    @property
    def steps(self) -> int:
        """Since the last line."""
        return self._timed

    def add(self, logs: Mapping[str, jax.Array], seconds: float, waited: float):
        """One step: its logs, how long it took, how much of that was waiting for data."""
        for name, value in logs.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._count += 1
        self._timed += 1
        self._seconds += seconds
        self._waited += waited

    def flush(self) -> dict[str, float]:
        """Return the averages, under the names of metrics.jsonl, and begin new ones."""
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


def metrics_line(values: Mapping[str, float]) -> str:
    """Metrics on one line: shares as percentages; losses, ranks and counts as numbers."""

    def text(key, value):
        name = key.rpartition("/")[2]
        if name == "n":
            return f"{key} {value:,.0f}"
        share = 0 <= value <= 1 and not name.endswith(("_rank", "loss"))
        return f"{key} {value:.2%}" if share else f"{key} {value:.4g}"

    return "  ".join(text(k, v) for k, v in values.items())


def bullet(lines: Iterable[str]):
    for line in lines:
        say(f"  {line}")
