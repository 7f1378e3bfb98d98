"""The time of a step in the train loop, beside that of the compiled step alone.

    python -m benchmarks.loop [--turns N] [--width W]

The loop of `jaxvid.train` reads its batches from memory, checks every loss, averages, and writes
its lines. After every 100 of its steps it waits for the device, and the compiled step alone runs as
often on one batch that is on the device. A ratio is the loop's time over that of the steps alone
before and after it, so 1.00 is a loop that costs nothing.

It is also counted before how many steps of the loop the device had finished all others, so that it
waited: for the loop, or for data.

Three clocks are read: the time that passes; the CPU time of all threads, which includes that of
reading; and the CPU time of the main thread. The device waits for the loop only if the main thread
needs longer for a step than the device.
"""

import argparse
import io
import sys
import tempfile
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxvid import plug
from jaxvid.data.sample import Source
from jaxvid.distributed import mesh as meshes
from jaxvid.train import loop
from jaxvid.train.plan import plan

BATCH, CLASSES = 2, 10
TURN, LINE = 100, 50  # steps of a turn, and from line to line


class Vectors(Source):
    """Samples in memory, so that reading them costs as little as possible."""

    names, origin = tuple(map(str, range(CLASSES))), "memory"

    def __init__(self, count: int):
        self.labels = np.arange(count, dtype=np.int32) % CLASSES
        self._sample = np.random.default_rng(0).standard_normal((1, 64), np.float32)

    def __getitem__(self, index):
        return {"keypoint": self._sample, "label": self.labels[index]}

    def id(self, index):
        return str(index)


def clocks() -> np.ndarray:
    """Return the seconds that passed, and the CPU seconds of all threads and of the main thread."""
    thread = time.pthread_getcpuclockid(threading.main_thread().ident or 0)
    return np.array([time.perf_counter(), time.process_time(), time.clock_gettime(thread)])


class Mlp(nn.Module):
    """Layers of one width, by which the time of a step is chosen."""

    width: int

    @nn.compact
    def __call__(self, keypoint, *, train):
        x = keypoint
        for _ in range(4):
            x = nn.relu(nn.Dense(self.width)(x))
        return nn.Dense(CLASSES)(x)


def configure() -> Any:
    from configs import quickstart

    config = quickstart.get_config()
    config.batch, config.epochs, config.log_every = BATCH, 1.0, LINE
    config.eval_every, config.save_every, config.keep = 0.0, 0, 1
    config.loader.workers, config.watchdog = 0, 0.0
    del config.data.recipe  # samples are used as they are
    config.optim = dict(name="sgd", lr=1e-3)
    config.schedule = dict(name="constant")
    config.mesh.data = config.mesh.model = 1
    return config


class Alone:
    """The compiled step, on one batch."""

    def __init__(self, config: Any, model: nn.Module, task: Any):
        rows = Vectors(BATCH)
        sample = [rows[i] | {"mask": np.float32(1), "index": np.int32(i)} for i in range(BATCH)]
        stacked = {key: np.stack([s[key] for s in sample]) for key in sample[0]}
        mesh = meshes.build(1, 1)
        self._batch = meshes.put_batch(mesh, stacked)
        planned = plan(config, model, task, mesh, self._batch, 1.0)
        self._state = jax.jit(planned.fresh, out_shardings=planned.state_shardings)(self._batch)
        self._step = planned.step()

    def __call__(self, steps: int) -> np.ndarray:
        """Return the seconds of a step by all clocks, over `steps` of them."""
        step = self._step.compile(self._state, self._batch)
        began = clocks()
        for _ in range(steps):
            self._state, logs = step(self._state, self._batch)
        jax.block_until_ready((self._state, logs))
        return (clocks() - began) / steps


class Turns:
    """In place of `loop.take`: lets the loop and the step alone run in turns.

    Attributes:
      loop, alone: seconds of a step in each turn, by all clocks.
      idle: share of the steps of each turn before which the device had nothing to do.
    """

    def __init__(self, alone: Alone):
        self._step, self._take, self._count = alone, loop.take, 0
        self.loop, self.alone = list[np.ndarray](), list[np.ndarray]()
        self.idle = list[float]()
        self._began = clocks()

    def __call__(self, batches: Any, logs: Any) -> tuple[Any, float]:
        if self._count % TURN == 0:
            jax.block_until_ready(logs)
            if self._count:
                self.loop.append((clocks() - self._began) / TURN)
            time.sleep(0.1)  # until the loader has read as far ahead as it may
            self.alone.append(self._step(TURN))
            self.idle.append(0.0)
            self._began = clocks()
        elif all(value.is_ready() for value in logs.values()):
            self.idle[-1] += 1 / (TURN - 1)
        self._count += 1
        return self._take(batches, logs)

    def ratios(self) -> np.ndarray:
        """Return (turns, clocks), without the first turn, in which things are still warming up."""
        before, after = np.array(self.alone[1:-1]), np.array(self.alone[2:])
        return np.array(self.loop[1:]) / (before + after) * 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loop")
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--width", type=int, default=768, help="of the layers of the model")
    args = parser.parse_args()
    config, model = configure(), Mlp(args.width)
    task = plug.load("tasks", dict(name="recognition", keys=("keypoint",)), num_classes=CLASSES)
    alone = Alone(config, model, task)
    alone(TURN)  # warms up
    turns = loop.take = Turns(alone)
    sources = {"train": Vectors((args.turns + 2) * TURN * BATCH), "val": Vectors(BATCH)}
    pipelines, silent = dict[str, list](train=[], val=[]), io.StringIO()
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(silent), redirect_stdout(silent):
        loop.train(config, model, task, sources, pipelines, Path(folder), {"names": ()})
    ours, bare = (1e3 * np.median(times[1:], 0) for times in (turns.loop, turns.alone))
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {args.turns} turns\n")
    print("| clock | loop, ms | step alone, ms | ratio (quartiles) |\n|---|---|---|---|")
    for i, clock in enumerate(("time", "CPU time", "CPU time of the main thread")):
        low, middle, high = np.quantile(turns.ratios()[:, i], (0.25, 0.5, 0.75))
        print(f"| {clock} | {ours[i]:.2f} | {bare[i]:.2f} | {middle:.3f} ({low:.3f}-{high:.3f}) |")
    print(f"\nThe device waited before {np.median(turns.idle[1:-1]):.1%} of the steps.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
