"""Runs of `jaxvid.main` by several processes on this machine, and what came of them."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxvid import param_rules
from jaxvid.checkpoints import store
from tests.multihost.hosts import Host

ROOT = Path(__file__).parents[2]
# Everything random is on, and neither split divides by anything.
SETTINGS = {
    "data.train.train": 97,
    "data.train.val": 41,
    "data.val.train": 97,
    "data.val.val": 41,
    "model.variant": "test",
    "model.dropout": 0.2,
    "model.drop_path": 0.2,
    "task.augment.mixup": 0.5,
    "batch": 16,
    "eval_batch": 16,
    "epochs": 2.0,
    "ema": 0.9,
    "accumulate": 2,
    "loader.workers": 0,
    "log_every": 1,
    "eval_every": 1.0,
    "save_every": 4,
    "keep": 9,
}
CONFIG = ("--config=configs/quickstart.py", *(f"--config.{k}={v}" for k, v in SETTINGS.items()))
STEPS, SAVED = 12, (4, 8, 12)


@dataclass
class Ended:
    """A process that ended: its exit code, what it said, and after how many seconds."""

    code: int
    out: str
    seconds: float


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def environment(devices: int, **more: str) -> dict[str, str]:
    """Fake devices; programs run once, so LLVM need not optimize them."""
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    return os.environ | dict(JAX_PLATFORMS="cpu", XLA_FLAGS=flags, PYTHONUNBUFFERED="1") | more


def start(
    processes: int,
    devices: int,
    args: Sequence[str] | Mapping[int, Sequence[str]],
    command: Sequence[str] = ("-m", "jaxvid.main"),
    only: Sequence[int] | None = None,
    hosts: Sequence[Host] = (),
) -> list[subprocess.Popen]:
    """Start `processes` of `devices` each.

    Args:
      args: of all processes, or by process.
      only: those to start; the others are missing.
      hosts: where each runs, instead of here.
    """
    port, started = str(free_port()), []
    for index in range(processes) if only is None else only:
        own = args[index] if isinstance(args, Mapping) else args
        first = hosts[0].name if hosts else "localhost"
        many = dict(JAX_COORDINATOR_ADDRESS=f"{first}:{port}", JAX_PROCESS_ID=str(index))
        many["JAX_NUM_PROCESSES"] = str(processes)
        env = environment(devices, **(many if processes > 1 else {}))
        streams: Any = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        line = [*(hosts[index].enter if hosts else ()), sys.executable, *command, *own]
        started.append(subprocess.Popen(line, cwd=ROOT, env=env, **streams))
    return started


def wait(started: Sequence[subprocess.Popen], timeout: float = 400) -> list[Ended]:
    """Until all have ended; what is left after `timeout` seconds is killed, with code -9."""
    began = time.monotonic()
    seconds: dict[int, float] = {}
    while len(seconds) < len(started):
        late = time.monotonic() - began > timeout
        for index, process in enumerate(started):
            if late:
                process.kill()
            if index not in seconds and (late or process.poll() is not None):
                seconds[index] = time.monotonic() - began
        time.sleep(0.05)
    outs = [process.communicate()[0] for process in started]
    return [Ended(p.returncode, outs[i], seconds[i]) for i, p in enumerate(started)]


def run(processes: int, devices: int, workdir: Path, *args: str) -> list[Ended]:
    """A run to its end; an AssertionError with what was said when it failed."""
    ended = wait(start(processes, devices, [f"--workdir={workdir}", *args]))
    said = "\n".join(f"code {e.code} after {e.seconds:.0f} s\n{e.out}" for e in ended)
    assert [e.code for e in ended] == [0] * processes, said
    return ended


def cut(workdir: Path, fresh: Path, step: int) -> Path:
    """A copy of a run as if it had been killed after `step`."""
    shutil.copytree(workdir, fresh)
    for later in store.all_steps(fresh / "checkpoints"):
        if later > step:
            shutil.rmtree(fresh / "checkpoints" / f"{later:08d}")
    return fresh


def losses(workdir: Path, split: str = "train") -> dict[int, float]:
    """Return the loss of every step, or of every evaluation ("val")."""
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line[f"{split}/loss"] for line in lines if f"{split}/loss" in line}


def evaluations(workdir: Path) -> dict[int, dict[str, float]]:
    """Return the metrics of the evaluations during training, by step, without the loss.

    They count right answers. A loss is a sum, whose rounding depends on the layout.
    """
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    found = ((line["step"], {k: v for k, v in line.items() if k[:4] == "val/"}) for line in lines)
    return {
        step: {k: v for k, v in values.items() if k != "val/loss"}
        for step, values in found
        if values
    }


def parameters(workdir: Path, step: int) -> dict[str, np.ndarray]:
    """Those of a checkpoint and their moving average, whatever devices it was written by."""
    folder = (workdir / "checkpoints" / f"{step:08d}" / "state").absolute()
    reader = ocp.Checkpointer(ocp.PyTreeCheckpointHandler())
    kept: Any = reader.metadata(folder)
    as_numpy = jax.tree.map(
        lambda _: ocp.RestoreArgs(restore_type=np.ndarray), kept.item_metadata.tree
    )
    state = reader.restore(folder, ocp.args.PyTreeRestore(restore_args=as_numpy))
    return param_rules.flatten({kind: state[kind] for kind in ("params", "ema") if state[kind]})


def predictions(workdir: Path) -> dict[str, np.ndarray]:
    with np.load(workdir / "eval" / "predictions.npz") as file:
        return dict(file)
