"""The time of a step in the train loop, beside that of the compiled step alone.

    python -m benchmarks.loop [--steps N] [--rounds K] [--width W]

Both run the same compiled program on batches of the same shapes, in turns. The loop of
`jaxvid.train` reads its batches from memory, checks every loss, averages, and writes its lines. The
step alone runs on one batch that is on the device. A ratio is the loop's time over that of the step
alone before and after it, so 1.00 is a loop that costs nothing. Two clocks are read: the time that
passes, which other programs on the machine distort, and the CPU time of all threads. On a CPU the
second one is an upper bound of what the loop costs on an idle machine.
"""

import argparse
import io
import sys
import tempfile
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

BATCH, CLASSES, LINE = 16, 10, 50


class Vectors(Source):
    """Samples in memory, so that reading them costs as little as possible.

    Attributes:
      clocks: read after every `LINE` batches. The loader reads a constant number of batches ahead
        of the loop, so differences are times of the loop.
    """

    names, origin = tuple(map(str, range(CLASSES))), "memory"

    def __init__(self, count: int):
        self.labels = np.arange(count, dtype=np.int32) % CLASSES
        self._read, self.clocks = 0, list[np.ndarray]()
        self._sample = np.random.default_rng(0).standard_normal((1, 64), np.float32)

    def __getitem__(self, index):
        self._read += 1
        if self._read % (BATCH * LINE) == 0:
            self.clocks.append(clocks())
        return {"keypoint": self._sample, "label": self.labels[index]}

    def id(self, index):
        return str(index)


def clocks() -> np.ndarray:
    """Return the seconds that passed, and the CPU seconds of all threads."""
    return np.array([time.perf_counter(), time.process_time()])


class Mlp(nn.Module):
    """Layers of one width, by which the time of a step is chosen."""

    width: int

    @nn.compact
    def __call__(self, keypoint, *, train):
        x = keypoint
        for _ in range(4):
            x = nn.relu(nn.Dense(self.width)(x))
        return nn.Dense(CLASSES)(x)


def configure(steps: int) -> Any:
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


def of_loop(config: Any, model: nn.Module, task: Any, steps: int) -> np.ndarray:
    """Return the seconds of a step by both clocks, without the first `LINE` steps of a run."""
    train = Vectors(steps * BATCH)
    sources, pipelines = {"train": train, "val": Vectors(BATCH)}, dict[str, list](train=[], val=[])
    silent = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(silent), redirect_stdout(silent):
        loop.train(config, model, task, sources, pipelines, Path(folder), {"names": ()})
    return (train.clocks[-1] - train.clocks[0]) / (LINE * (len(train.clocks) - 1))


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
        """Return the seconds of a step by both clocks, over `steps` of them."""
        step = self._step.compile(self._state, self._batch)
        began = clocks()
        for _ in range(steps):
            self._state, logs = step(self._state, self._batch)
        jax.block_until_ready((self._state, logs))
        return (clocks() - began) / steps


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loop")
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--steps", type=int, default=600, help="of each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", type=int, default=768, help="of the layers of the model")
    args = parser.parse_args()
    config, model = configure(args.steps), Mlp(args.width)
    task = plug.load("tasks", dict(name="recognition", keys=("keypoint",)), num_classes=CLASSES)
    alone = Alone(config, model, task)
    alone(args.steps)  # warms up
    before, ratios, times = alone(args.steps), [], []
    for _ in range(args.rounds):
        looped = of_loop(config, model, task, args.steps)
        after = alone(args.steps)
        times.append((looped, (before + after) / 2))
        ratios.append(looped / times[-1][1])
        before = after
    ours, bare = 1e3 * np.median(times, 0)
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {args.rounds} rounds")
    print("| clock | loop, ms | step alone, ms | ratio (quartiles) |\n|---|---|---|---|")
    for i, clock in enumerate(("time", "CPU time")):
        low, middle, high = np.quantile([ratio[i] for ratio in ratios], (0.25, 0.5, 0.75))
        print(f"| {clock} | {ours[i]:.2f} | {bare[i]:.2f} | {middle:.3f} ({low:.3f}-{high:.3f}) |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
