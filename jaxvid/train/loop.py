"""The train loop, the same for every task: step, log, evaluate, save."""

import dataclasses
import functools
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax

from jaxvid import compare, log, signals
from jaxvid.checkpoints import integrity, store
from jaxvid.data.loading import loader, sampling, steps
from jaxvid.data.sample import IMAGE_PREFIX, Source, Transform
from jaxvid.distributed import mesh as meshes
from jaxvid.distributed import peers
from jaxvid.distributed.watchdog import Watchdog
from jaxvid.errors import UserError
from jaxvid.tasks.base import Task
from jaxvid.train import memory, multigrid
from jaxvid.train.batch_norm import PreciseStatistics, with_groups
from jaxvid.train.calendar import Calendar
from jaxvid.train.nonfinite import AHEAD, Nonfinite
from jaxvid.train.plan import Plan, begin, check_batch, plan
from jaxvid.train.progress import parameter_table
from jaxvid.train.run_log import RunLog
from jaxvid.train.step import Compiled, TrainState
from jaxvid.train.validation import Validation

STOPPED = "stopped at step {} and saved; the same command resumes it"

logger = logging.getLogger(__name__)


class Interrupted(signals.Stopped):
    """Raised when a run was asked to stop and has saved a checkpoint."""


def train(
    config: Any,
    model: nn.Module,
    task: Task,
    sources: Mapping[str, Source],
    pipelines: Mapping[str, list[Transform]],
    workdir: Path,
    about: Mapping,
    initial: Callable[[dict], dict] | None = None,
) -> dict[str, float]:
    """Train a model to the end. A run that was killed continues from its newest checkpoint.

    Args:
      config: the keys of configs/base.py.
      model: a Flax module with the arguments that `task.inputs` returns.
      task: the task.
      sources: samples of "train" and "val", and perhaps of "images".
      pipelines: transforms of the same.
      workdir: folder of the run.
      about: data that is saved in every checkpoint, such as the resolved config and class names.
      initial: function from fresh variables to the variables to start from.

    Returns:
      The last validation metrics; empty if the run was already complete.

    Raises:
      UserError: batch sizes do not fit the devices, a loss is not finite, a save failed, etc.
      Interrupted: a signal came, and a checkpoint was saved. Before the first step, a signal raises
        its usual exception instead.
    """
    mesh = meshes.build(**config.mesh)
    check_batch(config, mesh)
    clips = sampling.length(sources["train"], config.loader.balance)
    grid = multigrid.build(config, clips)
    when = Calendar.of(config, clips, grid)
    checkpoints, start, saved = open_checkpoints(config, workdir, about)
    if start >= when.total and not saved.get("eval_due"):
        logger.info(f"nothing to do: {checkpoints.folder} holds step {start} of {when.total}")
        return {}

    workers, process = peers.workers(config.loader.workers), meshes.part(mesh)
    reading = dict[str, Any](workers=workers, process=process)
    stream_of = functools.partial(train_stream, config, sources, pipelines, reading)
    first = min(start, when.total - 1)  # a complete run needs a batch, too
    if grid:
        multigrid.check(grid, config, mesh.shape["data"])
        log.bullets(logger, grid.lines())
        stream = grid_stream(config, grid, sources, reading, first)
    else:
        stream = stream_of(first, when.total)
    batches = loader.Prefetch(stream, functools.partial(meshes.put_batch, mesh))
    fit, watchdog = memory.Fit(), Watchdog(config.watchdog)
    with closing(batches), fit.explained(), watchdog:
        batch = batches.peek()
        planned = plan(config, model, task, mesh, batch, when.steps_per_epoch, grid)
        fit.foresee(planned, batch)
        state, meta = begin(planned, batch, checkpoints, initial)
        step_of = steps_by_shape(planned, grid)
        train_step = compile_step(planned, step_of(first), state, batch, fit)
        precise = PreciseStatistics(planned, stream_of, watchdog)
        validate = Validation(planned, sources["val"], pipelines["val"], reading, watchdog)
        # With this, a checkpoint can be loaded without the data.
        shapes = {k: (x.dtype.name, x.shape[1:]) for k, x in batch.items()}
        about = dict[str, Any](about, batch=shapes, best=config.best)
        run_log = RunLog(
            workdir, planned, when, start, train_step, stream, batch, meta.get("progress")
        )
        nonfinite = Nonfinite(config.nonfinite, planned, sources["train"], run_log.add)
        run_log.write_clips(start, batch, about["names"])

        with interruptible() as asked_to_stop:
            metrics: dict[str, float] = {}
            if meta.get("eval_due"):  # it was stopped before the evaluation of its last step
                state, stop = precise(state, start, asked_to_stop)
                metrics = {} if stop else validate(state, asked_to_stop)
                if not metrics:
                    raise Interrupted(STOPPED.format(start))
                run_log.write_metrics(start, metrics)
                if config.precise_bn:  # the statistics have changed since the save
                    done = {k: meta[k] for k in ("epoch", "progress")} | dict(eval_due=False)
                    checkpoints.replace(start, state, about | done, metrics)
                else:
                    checkpoints.add_metrics(start, metrics)

            logs: dict[str, jax.Array] = {}
            run_log.restart_clock()
            for step in range(start + 1, when.total + 1):
                watchdog.beat(f"step {step}")
                batch, waited = take(batches, logs)
                run_log.add_wait(waited)
                train_step = step_of(step - 1)
                state, logs = train_step(state, batch)  # returns before the device has finished
                nonfinite.follow(step, state, batch, logs)
                metrics, stop = {}, asked_to_stop()
                if stop or step in when.saves:
                    nonfinite.settle(state)  # waits for this step

                if step in when.evaluations and not stop:
                    state, stop = precise(state, step, asked_to_stop)
                    if not stop:
                        metrics = validate(state, asked_to_stop)
                        run_log.write_metrics(step, metrics)
                        stop = not metrics
                if step in when.saves or stop:
                    watchdog.beat(f"the save of step {step}")
                    due = step in when.evaluations and not metrics
                    progress = dict(epoch=when.epoch(step), progress=run_log.state(), eval_due=due)
                    checkpoints.save(step, state, about | progress, metrics)
                    run_log.restart_clock()
                if stop:
                    checkpoints.wait()
                    raise Interrupted(STOPPED.format(step))

            watchdog.beat("the last save")
            checkpoints.close()
            run_log.close()
    log_left_out(nonfinite, stream)
    return metrics


def open_checkpoints(config: Any, workdir: Path, about: Mapping) -> tuple[store.Store, int, dict]:
    """Return the checkpoints of a run, the step of the newest (0 if there is none) and its meta."""
    if jax.process_index() == 0:
        integrity.set_aside(workdir / "checkpoints")
    checkpoints = store.Store(workdir, config.keep, config.best)  # waits for all processes
    start = checkpoints.latest() or 0
    if not start:
        return checkpoints, 0, {}
    newest = checkpoints.folder / f"{start:08d}"
    saved = store.read_meta(newest)
    compare.resumed(newest, saved, about)
    return checkpoints, start, saved


def train_stream(
    config: Any,
    sources: Mapping[str, Source],
    pipelines: Mapping[str, list[Transform]],
    reading: Mapping[str, Any],
    start: int,
    stop: int,
) -> loader.Batches | steps.Joined:
    """Return the batches of the steps after `start`, up to `stop`.

    With a source of "images", each batch also has `config.data.image_batch` of them.

    Args:
      config: config of the run.
      sources: samples of "train", and perhaps "images".
      pipelines: transforms of the same.
      reading: other options of the loader.
      start: step that the run continues from. It decides the position in the data.
      stop: last step.
    """
    if "images" in sources and reading["workers"] > 1:  # the two streams share the cores
        reading = {**reading, "workers": reading["workers"] // 2}

    def stream(split: str, batch: int, balance: float) -> loader.Batches:
        return loader.train_batches(
            sources[split],
            pipelines[split],
            batch=batch,
            seed=config.seed,
            start=start,
            stop=stop,
            on_error=config.loader.on_error,
            balance=balance,
            **reading,
        )

    videos = stream("train", config.batch, config.loader.balance)
    if "images" not in sources:
        return videos
    return steps.Joined(videos, stream("images", config.data.image_batch, 0.0), IMAGE_PREFIX)


def grid_stream(
    config: Any,
    grid: multigrid.Grid,
    sources: Mapping[str, Source],
    reading: Mapping[str, Any],
    start: int,
) -> loader.Batches:
    """Return the batches of multigrid training after step `start`; see `train_stream`."""
    if "images" in sources:
        raise UserError("config.multigrid is for videos alone, without config.data.images")
    return steps.stepped_batches(
        sources["train"],
        multigrid.pipelines(grid, config.data.recipe.to_dict()),
        grid.kinds,
        grid.positions,
        seed=config.seed,
        start=start,
        stop=grid.total,
        on_error=config.loader.on_error,
        balance=config.loader.balance,
        **reading,
    )


def steps_by_shape(planned: Plan, grid: multigrid.Grid | None) -> Callable[[int], Compiled]:
    """Return a function from the number of a step, from 0, to the training step for its shape."""
    if not grid:
        one = planned.step(logging.INFO)
        return lambda step: one

    @functools.cache
    def of(kind: int) -> Compiled:
        factor = grid.shapes[kind].groups
        model = with_groups(planned.model, lambda groups: groups * factor)
        return dataclasses.replace(planned, model=model).step(logging.INFO)

    return lambda step: of(int(grid.kinds[step]))


def compile_step(
    planned: Plan, train_step: Compiled, state: TrainState, batch: Any, fit: memory.Fit
) -> Compiled:
    """Compile a training step, and log the parameters and the memory that it needs."""
    config = planned.config
    log.show(parameter_table(state.params))
    axes = " x ".join(f"{name} {size}" for name, size in planned.mesh.shape.items())
    logger.info(f"mesh: {axes}; parameters {config.sharding}; {config.dtype} computation")
    train_step.compile(state, batch)
    fit.check(planned, train_step, batch)
    return train_step


def take(batches: loader.Prefetch, logs: Mapping[str, jax.Array]) -> tuple[Any, float]:
    """Return the next batch, and the seconds that the devices waited for it.

    Args:
      batches: the batches.
      logs: logs of the newest step. If the next batch is late, this step is waited for first,
        because the devices are busy until then.
    """
    if not batches.is_ready():
        jax.block_until_ready(logs)
    began = time.monotonic()
    return next(batches), time.monotonic() - began


def log_left_out(nonfinite: Nonfinite, stream: loader.Batches | steps.Joined):
    """Log the number of skipped steps, and the videos that could not be read."""
    if nonfinite.skipped:
        logger.info(f"{nonfinite.skipped} steps were skipped, as they were not finite")
    if stream.unreadable:
        logger.info(f"{len(stream.unreadable)} unreadable videos in training:")
        log.bullets(logger, stream.unreadable.values())


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Stop after the current step or batch of evaluation at a signal, and at once at a second one.

    Yields:
      A function that returns whether to stop. All processes must call it the same number of times,
      and get the same answer.
    """
    asked: list[int] = []
    calls = itertools.count(1)

    def ask(number: int):
        asked.append(number)
        if jax.process_index() == 0:
            with suppress(OSError):  # not `print`, which the signal may have interrupted
                os.write(2, b"stopping after this step; once more stops without saving\n")

    with signals.caught(ask):
        yield lambda: peers.agreed("stop", next(calls), bool(asked), lead=AHEAD + 1)
