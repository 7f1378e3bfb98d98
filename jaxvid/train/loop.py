"""The train loop: one page, the same for every task."""

import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax

from jaxvid import compare, log, signals
from jaxvid.checkpoints import integrity, store
from jaxvid.data.loading import loader, sampling
from jaxvid.data.sample import Source, Transform
from jaxvid.distributed import mesh as meshes
from jaxvid.distributed import peers
from jaxvid.distributed.stragglers import Stragglers
from jaxvid.distributed.watchdog import Watchdog
from jaxvid.errors import UserError
from jaxvid.tasks.base import Task
from jaxvid.train import memory, pictures
from jaxvid.train.evaluate import batch_size, evaluate
from jaxvid.train.nonfinite import Nonfinite
from jaxvid.train.plan import Plan, begin, plan
from jaxvid.train.progress import Progress, Writer, metrics_line, parameter_table, peak_flops
from jaxvid.train.step import Compiled, TrainState, make_eval_step
from jaxvid.train.waits import Waits

LOG_EVERY, LINES = 50, 10  # steps from line to line, and the fewest lines of a run
STOPPED = "stopped at step {} and saved; the same command resumes it"

logger = logging.getLogger(__name__)


class Interrupted(signals.Stopped):
    """The run was asked to stop, and has saved."""


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
    """Train to the end; a run that was killed continues where it was.

    Args:
      config: the keys of configs/base.py.
      model: a Flax module that takes `task.inputs` by name.
      sources, pipelines: of "train" and "val".
      about: what travels with every checkpoint, such as the resolved config and the class names.
      initial: fresh variables -> those to start from.

    Returns:
      The last validation metrics, empty when the run was complete before.

    Raises:
      UserError: sizes that do not fit, losses that are not finite, a save that failed ...
      Interrupted: by a signal, after a save; before the first step whatever the signal raises.
    """
    mesh = meshes.build(**config.mesh)
    check_batch(config, mesh)
    when = Calendar.of(config, sampling.length(sources["train"], config.loader.balance))
    checkpoints, start, saved = open_checkpoints(config, workdir, about)
    if start >= when.total and not saved.get("eval_due"):
        logger.info(f"nothing to do: {checkpoints.folder} holds step {start} of {when.total}")
        return {}

    # The step is the data position: the stream starts there, nothing is replayed.
    reading = dict[str, Any](
        workers=peers.workers(config.loader.workers), process=meshes.part(mesh)
    )
    stream = loader.train_batches(
        sources["train"],
        pipelines["train"],
        batch=config.batch,
        seed=config.seed,
        start=min(start, when.total - 1),
        stop=when.total,
        on_error=config.loader.on_error,
        balance=config.loader.balance,
        **reading,
    )
    batches = loader.Prefetch(stream, lambda batch: meshes.put_batch(mesh, batch))
    fit, watchdog = memory.Fit(), Watchdog(config.watchdog)
    with closing(batches), fit.explained(), watchdog:
        batch = batches.peek()
        # So that a checkpoint can be loaded where there are no data.
        shapes = {k: (x.dtype.name, x.shape[1:]) for k, x in batch.items()}
        about = dict[str, Any](about, batch=shapes, best=config.best)

        planned = plan(config, model, task, mesh, batch, when.steps_per_epoch)
        fit.foresee(planned, batch)
        state, meta = begin(planned, batch, checkpoints, initial)
        flops = planned.flops(batch) if peak_flops() else 0.0
        progress = Progress(when.total, config.batch, flops, meta.get("progress"))
        log.show(parameter_table(state.params))
        axes = " x ".join(f"{name} {size}" for name, size in mesh.shape.items())
        logger.info(f"mesh: {axes}; parameters {config.sharding}; {config.dtype} computation")

        nonfinite = Nonfinite(config.nonfinite, planned, sources["train"])
        validation = Validation(planned, sources["val"], pipelines["val"], reading, watchdog)
        train_step = planned.step(logging.INFO)
        train_step.compile(state, batch)
        fit.check(planned, train_step, batch)
        with interruptible() as asked_to_stop:
            stragglers, waits = Stragglers(), Waits(stream)
            writer = Writer(workdir, start, config.writers)
            if (sheet := pictures.of_batch(batch, about["names"])) is not None:
                writer.picture(start, "train/clips", sheet)

            def validate(step: int, epoch: float) -> dict[str, float]:
                """The metrics, which are also written; empty when asked to stop meanwhile."""
                if metrics := validation(state, asked_to_stop):
                    writer.write(step, epoch, metrics)
                    logger.info(f"step {step}/{when.total}  {metrics_line(metrics)}")
                return metrics

            metrics: dict[str, float] = {}
            if meta.get("eval_due"):  # stopped before the evaluation of its last step was done
                metrics = validate(start, meta["epoch"])
                if not metrics:
                    raise Interrupted(STOPPED.format(start))
                checkpoints.add_metrics(start, metrics)

            logs: dict[str, jax.Array] = {}
            for step in range(start + 1, when.total + 1):
                watchdog.beat(f"step {step}")
                began = time.monotonic()
                batch, waited = take(batches, logs)
                state, logs = train_step(state, batch)
                nonfinite.follow(step, state, batch, logs)  # looks at the step before this one
                epoch, metrics, stop = step / when.steps_per_epoch, {}, asked_to_stop()
                if stop or step in when.looks:
                    nonfinite.settle(state)  # and now at this one
                progress.add(logs, time.monotonic() - began, waited)

                if step in when.lines and progress.steps:
                    values = progress.flush() | {"train/lr": planned.rate(step - 1)}
                    values["train/recompiles"] = train_step.count - 1
                    writer.write(step, epoch, values)
                    logger.info(progress.line(step, epoch, values))
                    log.bullets(logger, stragglers.lines(values["train/data_wait"]))
                    hints = waits.lines(values["train/data_wait"], values["train/step_time"])
                    log.bullets(logger, hints)
                if step in when.evaluations and not stop:
                    metrics = validate(step, epoch)
                    stop = not metrics
                if step in when.saves or stop:
                    due = step in when.evaluations and not metrics
                    meta = about | dict(epoch=epoch, progress=progress.state(), eval_due=due)
                    watchdog.beat(f"the save of step {step}")
                    checkpoints.save(step, state, meta, metrics)
                if stop:
                    checkpoints.wait()
                    raise Interrupted(STOPPED.format(step))

            watchdog.beat("the last save")
            checkpoints.close()
            writer.close()
    if nonfinite.skipped:
        logger.info(f"{nonfinite.skipped} steps were skipped, as they were not finite")
    if stream.unreadable:
        logger.info(f"{len(stream.unreadable)} unreadable videos in training:")
        log.bullets(logger, stream.unreadable.values())
    return metrics


@dataclass(frozen=True)
class Calendar:
    """The steps of a run after which something happens.

    Attributes:
      total: the last step.
      lines: those with a line of averages.
      evaluations, saves: those with a validation, and with a checkpoint.
      looks: all of these, for which the loop waits until the step is done.
    """

    steps_per_epoch: float
    total: int
    lines: frozenset[int]
    evaluations: frozenset[int]
    saves: frozenset[int]

    @classmethod
    def of(cls, config: Any, clips: int) -> "Calendar":
        """Return the calendar of a run whose epochs have so many clips."""
        steps_per_epoch = clips / config.batch
        total = max(1, round(config.epochs * steps_per_epoch))
        evaluations = milestones(config.eval_every * steps_per_epoch, total)
        saves = milestones(config.save_every, total) | evaluations
        lines = milestones(config.log_every or max(1, min(LOG_EVERY, total // LINES)), total)
        return cls(steps_per_epoch, total, lines, evaluations, saves)

    @cached_property
    def looks(self) -> frozenset[int]:
        return self.lines | self.saves


def milestones(every: float, total: int) -> frozenset[int]:
    """Steps at every multiple of `every` (0: none), and the last."""
    count = int(total / every + 1e-9) if every else 0
    return frozenset({max(1, round(i * every)) for i in range(1, count + 1)} | {total})


def check_batch(config: Any, mesh: jax.sharding.Mesh):
    """Raise a UserError where a global batch does not divide over devices and micro-batches."""
    devices = mesh.shape["data"]
    if config.batch % (devices * config.accumulate):
        raise UserError(
            f"config.batch={config.batch} must divide by {devices * config.accumulate}:"
            f" {devices} devices on the data axis x config.accumulate={config.accumulate}"
        )


def open_checkpoints(config: Any, workdir: Path, about: Mapping) -> tuple[store.Store, int, dict]:
    """Return the checkpoints of a run, the step of the newest (0 without one), and its meta."""
    if jax.process_index() == 0:
        integrity.set_aside(workdir / "checkpoints")
    checkpoints = store.Store(workdir, config.keep, config.best)  # all processes meet here
    start = checkpoints.latest() or 0
    if not start:
        return checkpoints, 0, {}
    newest = checkpoints.folder / f"{start:08d}"
    saved = store.read_meta(newest)
    compare.resumed(newest, saved, about)
    return checkpoints, start, saved


def take(batches: loader.Prefetch, logs: Mapping[str, jax.Array]) -> tuple[Any, float]:
    """Return the next batch, and for how many seconds the devices waited for it.

    Args:
      logs: of the newest step. Where its successor is late, that step is waited for first: the
        devices have work until then.
    """
    if not batches.is_ready():
        jax.block_until_ready(logs)
    began = time.monotonic()
    return next(batches), time.monotonic() - began


class Validation:
    """Computes the metrics of a state on the validation set.

    Args:
      reading: options of the loader.
    """

    def __init__(
        self,
        planned: Plan,
        source: Source,
        pipeline: list[Transform],
        reading: Mapping[str, Any],
        watchdog: Watchdog,
    ):
        config, mesh = planned.config, planned.mesh
        self._planned, self._watchdog = planned, watchdog
        self._batches = lambda: loader.eval_batches(
            source,
            pipeline,
            batch=batch_size(config, mesh),
            on_error=config.loader.eval_on_error,
            **reading,
        )
        function = make_eval_step(planned.model, planned.task, config.eval.views, loss=True)
        places = meshes.replicated(mesh)
        self._step = Compiled(function, logging.INFO, out_shardings=places)

    def __call__(self, state: TrainState, asked_to_stop: Callable[[], bool]) -> dict[str, float]:
        """Return the metrics as {"val/top1": ...}; empty when asked to stop meanwhile."""

        def tick(done: int) -> bool:
            self._watchdog.beat(f"evaluation, after {done} samples")
            return asked_to_stop()

        params = state.params if state.ema is None else state.ema
        variables = {"params": params, **state.model_state}
        mesh, metrics = self._planned.mesh, self._planned.task.metrics()
        with closing(
            loader.Prefetch(self._batches(), lambda batch: meshes.put_batch(mesh, batch))
        ) as ready:
            values = evaluate(self._step, variables, ready, metrics, tick)
        return {f"val/{name}": value for name, value in values.items()}


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Let a signal ask for a stop after the step or batch of evaluation; a second one ends at once.

    Yields a function that says whether to stop, and that all processes call equally often: they
    hear the same.
    """
    asked: list[int] = []
    calls = itertools.count(1)

    def ask(number: int):
        asked.append(number)
        if jax.process_index() == 0:
            with suppress(OSError):  # not by `print`, which may be what was interrupted
                os.write(2, b"stopping after this step; once more stops without saving\n")

    with signals.caught(ask):
        yield lambda: peers.agreed("stop", next(calls), bool(asked))
