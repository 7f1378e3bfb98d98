"""The train loop: one page, the same for every task."""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

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
from jaxvid.train.begin import begin, plan
from jaxvid.train.evaluate import batch_size, evaluate
from jaxvid.train.nonfinite import Nonfinite
from jaxvid.train.step import Compiled, TrainState, make_eval_step
from jaxvid.train.waits import Waits

LOG_EVERY, LINES = 50, 10  # steps from line to line, and the fewest lines of a run
STOPPED = "stopped at step {} and saved; the same command goes on"


class Interrupted(signals.Stopped):
    """The run was asked to stop, and has saved."""


def train(
    config: Any,
    model: Any,
    task: Task,
    sources: Mapping[str, Source],
    pipelines: Mapping[str, list[Transform]],
    workdir: Path,
    about: Mapping,
    initial: Callable[[dict], dict] | None = None,
) -> dict[str, float]:
    """Train to the end; a run that was killed goes on where it was.

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
    fit = memory.Fit()
    balance = config.loader.balance
    steps_per_epoch = sampling.length(sources["train"], balance) / config.batch
    total = max(1, round(config.epochs * steps_per_epoch))
    eval_steps = milestones(config.eval_every * steps_per_epoch, total)
    save_steps = milestones(config.save_every, total) | eval_steps
    log_every = config.log_every or max(1, min(LOG_EVERY, total // LINES))
    parts = mesh.shape["data"] * config.accumulate
    if config.batch % parts:
        raise UserError(
            f"config.batch={config.batch} must divide by {parts}: {mesh.shape['data']} devices on"
            f" the data axis x config.accumulate={config.accumulate}"
        )
    if jax.process_index() == 0:
        integrity.set_aside(workdir / "checkpoints", log.say)
    checkpoints = store.Store(workdir, config.keep, config.best)  # all meet here
    start, saved = checkpoints.latest() or 0, {}
    if start:
        newest = checkpoints.folder / f"{start:08d}"
        saved = store.read_meta(newest)
        compare.resumed(newest, saved, about, log.say)
    if start >= total and not saved.get("eval_due"):
        log.say(f"nothing to do: {checkpoints.folder} holds step {start} of {total}")
        return {}

    # The step is the data position: the stream starts there, nothing is replayed.
    reading = dict[str, Any](
        workers=peers.workers(config.loader.workers),
        process=meshes.part(mesh),
        say=log.warn,
    )
    stream = loader.train_batches(
        sources["train"], pipelines["train"], batch=config.batch, seed=config.seed,
        start=min(start, total - 1), stop=total, on_error=config.loader.on_error, balance=balance,
        **reading,
    )  # fmt: skip
    batches = loader.prefetch(stream, lambda batch: meshes.put_batch(mesh, batch))
    watchdog = Watchdog(config.watchdog)
    with closing(batches), ExitStack() as stack, fit.explained(), watchdog:
        batch = next(batches)
        # So that a checkpoint can be loaded where there are no data.
        about = dict[str, Any](
            about, batch={k: (x.dtype.name, x.shape[1:]) for k, x in batch.items()}
        )

        planned = plan(config, model, task, mesh, batch, steps_per_epoch)
        fit.foresee(planned, batch)
        state, meta = begin(planned, batch, checkpoints, initial)
        flops = planned.flops(batch) if log.peak_flops() else 0.0
        progress = log.Progress(total, config.batch, flops, meta.get("progress"))
        log.show(log.parameter_table(state.params))
        axes = " x ".join(f"{name} {size}" for name, size in mesh.shape.items())
        log.say(f"mesh: {axes}; parameters {config.sharding}; {config.dtype} computation")

        nonfinite = Nonfinite(config.nonfinite, planned, sources["train"])
        train_step = planned.step(log.say)
        eval_step = Compiled(
            make_eval_step(model, task, config.eval.views, loss=True), log.say,
            out_shardings=meshes.replicated(mesh),
        )  # fmt: skip
        train_step.compile(state, batch)
        fit.check(planned, train_step, batch)
        asked_to_stop = stack.enter_context(interruptible())

        def validate(state: TrainState, step: int, epoch: float) -> dict[str, float]:
            """The metrics, which are also written; empty when asked to stop meanwhile."""

            def tick(done: int) -> bool:
                watchdog.beat(f"evaluation, after {done} samples")
                return asked_to_stop()

            val = loader.eval_batches(
                sources["val"], pipelines["val"], batch=batch_size(config, mesh),
                on_error=config.loader.eval_on_error, **reading,
            )  # fmt: skip
            params = state.params if state.ema is None else state.ema
            ready = loader.prefetch(val, lambda batch: meshes.put_batch(mesh, batch))
            variables = {"params": params, **state.model_state}
            with closing(ready):
                found = evaluate(eval_step, variables, ready, task.metrics(), tick)
            metrics = {f"val/{k}": v for k, v in found.items()}
            if metrics:
                writer.write(step, epoch, metrics)
                log.say(f"step {step}/{total}  {log.metrics_line(metrics)}")
            return metrics

        stragglers, waits = Stragglers(), Waits(stream)
        writer = log.Writer(workdir, start, config.writers)
        if (sheet := pictures.of_batch(batch, about["names"])) is not None:
            writer.picture(start, "train/clips", sheet)
        metrics: dict[str, float] = {}
        if meta.get("eval_due"):  # stopped before the evaluation of its last step was done
            metrics = validate(state, start, meta["epoch"])
            if not metrics:
                raise Interrupted(STOPPED.format(start))
            checkpoints.add_metrics(start, metrics)
        for step in range(start + 1, total + 1):
            watchdog.beat(f"step {step}")
            began = time.monotonic()
            batch = batch if step == start + 1 else next(batches)
            waited = time.monotonic() - began
            state, logs = train_step(state, batch)
            logs = jax.device_get(logs)  # wait here, so that time spent on data shows as such
            if not nonfinite.met(step, state, batch, logs):
                progress.add(logs, time.monotonic() - began, waited)
            epoch, stop, metrics = step / steps_per_epoch, asked_to_stop(), {}

            if progress.steps and (step % log_every == 0 or step == total):
                values = progress.flush() | {"train/lr": planned.rate(step - 1)}
                values["train/recompiles"] = train_step.count - 1
                writer.write(step, epoch, values)
                log.say(progress.line(step, epoch, values))
                log.bullet(stragglers.lines(values["train/data_wait"]))
                log.bullet(waits.lines(values["train/data_wait"], values["train/step_time"]))
            if step in eval_steps and not stop:
                metrics = validate(state, step, epoch)
                stop = not metrics
            if step in save_steps or stop:
                meta = dict(about, best=config.best, epoch=epoch, progress=progress.state())
                meta["eval_due"] = step in eval_steps and not metrics
                watchdog.beat(f"the save of step {step}")
                checkpoints.save(step, state, meta, metrics)
            if stop:
                checkpoints.wait()
                raise Interrupted(STOPPED.format(step))

        watchdog.beat("the last save")
        checkpoints.close()
        writer.close()
    if nonfinite.skipped:
        log.say(f"{nonfinite.skipped} steps were skipped, as they were not finite")
    if stream.unreadable:
        log.say(f"{len(stream.unreadable)} unreadable videos in training:")
        log.bullet(stream.unreadable.values())
    return metrics


def milestones(every: float, total: int) -> set[int]:
    """Steps at every multiple of `every` (0: none), and the last."""
    count = int(total / every + 1e-9) if every else 0
    return {max(1, round(i * every)) for i in range(1, count + 1)} | {total}


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
