"""The train loop: one page, the same for every task."""

import signal
import time
from collections.abc import Callable, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from jaxvid import log, plug
from jaxvid import mesh as meshes
from jaxvid.ckpt import store
from jaxvid.data import loader
from jaxvid.data.sample import Source, Transform
from jaxvid.errors import UserError
from jaxvid.tasks.base import Task
from jaxvid.train import optim
from jaxvid.train.evaluate import batch_size, evaluate
from jaxvid.train.step import Compiled, init_state, init_variables, make_eval_step, make_train_step


class Interrupted(KeyboardInterrupt):
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
      config: the keys of configs/common.py.
      model: a Flax module that takes `task.inputs` by name.
      sources, pipelines: of "train" and "val".
      about: what travels with every checkpoint, such as the resolved config and the class names.
      initial: fresh variables -> those to start from.

    Returns:
      The last validation metrics, empty when the run was complete before.

    Raises:
      UserError: sizes that do not fit, a loss that is not finite, a save that failed ...
      Interrupted: by Ctrl-C or SIGTERM, after a save.
    """
    mesh = meshes.build(**config.mesh)
    steps_per_epoch = len(sources["train"]) / config.batch
    total = max(1, round(config.epochs * steps_per_epoch))
    eval_steps = milestones(config.eval_every * steps_per_epoch, total)
    save_steps = milestones(config.save_every, total) | eval_steps
    parts = mesh.shape["data"] * config.accumulate
    if config.batch % parts:
        raise UserError(
            f"config.batch={config.batch} must divide by {parts}: {mesh.shape['data']} devices on"
            f" the data axis x config.accumulate={config.accumulate}"
        )
    checkpoints = store.Store(workdir, config.keep, config.best)
    start = checkpoints.latest() or 0
    if start >= total:
        log.say(f"nothing to do: {checkpoints.folder} holds step {start} of {total}")
        return {}

    # The step is the data position: the stream starts there, nothing is replayed.
    reading = dict(
        workers=config.loader.workers,
        process=(jax.process_index(), jax.process_count()),
        say=log.say,
    )
    stream = loader.train_batches(
        sources["train"], pipelines["train"], batch=config.batch, seed=config.seed, start=start,
        stop=total, on_error=config.loader.on_error, **reading,
    )  # fmt: skip
    batches = loader.prefetch(stream, lambda batch: meshes.put_batch(mesh, batch))
    with closing(batches), interruptible() as asked_to_stop:
        batch = next(batches)
        # So that a checkpoint can be loaded where there are no data.
        about = dict(about, batch={k: (x.dtype.name, x.shape[1:]) for k, x in batch.items()})

        length = dict(steps_per_epoch=steps_per_epoch, epochs=config.epochs)
        factor = plug.call(optim.schedule, "config.schedule", **length, **config.schedule)
        settings = scale_rate(config.optim, config.batch)
        shapes = jax.eval_shape(lambda b: init_variables(model, task, b, config.seed), batch)
        tx = plug.call(
            optim.build, "config.optim", params=shapes["params"], factor=factor, **settings
        )

        state, layout, meta = begin(config, model, task, tx, batch, mesh, checkpoints, initial)
        progress = log.Progress(total, config.batch, meta.get("progress"))
        log.show(log.parameter_table(state.params))
        axes = " x ".join(f"{name} {size}" for name, size in mesh.shape.items())
        log.say(f"mesh: {axes}; parameters {config.sharding}; {config.dtype} computation")

        train_step = Compiled(
            make_train_step(model, task, tx, config.accumulate, config.ema), log.say,
            donate_argnums=0, out_shardings=(layout, meshes.replicated(mesh)),
        )  # fmt: skip
        eval_step = Compiled(
            make_eval_step(model, task, config.eval.views), log.say,
            out_shardings=meshes.replicated(mesh),
        )  # fmt: skip
        train_step.compile(state, batch)
        log.say(f"one step takes {log.size(train_step.memory)} of memory on a device")

        def validate(state):
            val = loader.eval_batches(
                sources["val"], pipelines["val"], batch=batch_size(config, mesh),
                on_error=config.loader.eval_on_error, **reading,
            )  # fmt: skip
            params = state.params if state.ema is None else state.ema
            ready = loader.prefetch(val, lambda batch: meshes.put_batch(mesh, batch))
            found = evaluate(
                eval_step, {"params": params, **state.model_state}, ready, task.metrics()
            )
            return {f"val/{k}": v for k, v in found.items()}

        writer = log.Writer(workdir, start)
        metrics: dict[str, float] = {}
        if meta.get("eval_due"):  # stopped before the evaluation of its last step
            metrics = validate(state)
            writer.write(start, meta["epoch"], metrics)
        for step in range(start + 1, total + 1):
            began = time.monotonic()
            batch = batch if step == start + 1 else next(batches)
            waited = time.monotonic() - began
            state, logs = train_step(state, batch)
            logs = jax.device_get(logs)  # wait here, so that time spent on data shows as such
            if not np.isfinite(logs["loss"]):
                raise UserError(
                    f"the loss is {logs['loss']} at step {step}: try a lower config.optim.lr, or"
                    f" config.optim.clip; earlier checkpoints are in {checkpoints.folder}"
                )
            progress.add(logs, time.monotonic() - began, waited, train_step.flops)
            epoch, stop, metrics = step / steps_per_epoch, asked_to_stop(step), {}

            if step % config.log_every == 0 or step == total:
                values = progress.flush() | {"train/lr": settings["lr"] * float(factor(step - 1))}
                values["train/recompiles"] = train_step.count - 1
                writer.write(step, epoch, values)
                log.say(progress.line(step, epoch, values))
            if step in eval_steps and not stop:
                metrics = validate(state)
                writer.write(step, epoch, metrics)
                log.say(f"step {step}/{total}  {log.metrics_line(metrics)}")
            if step in save_steps or stop:
                meta = dict(about, best=config.best, epoch=epoch, progress=progress.state())
                meta["eval_due"] = step in eval_steps and not metrics
                checkpoints.save(step, state, meta, metrics)
            if stop:
                checkpoints.wait()
                raise Interrupted(f"stopped at step {step} and saved; the same command goes on")

    checkpoints.close()
    writer.close()
    if stream.unreadable:
        log.say(f"{len(stream.unreadable)} unreadable videos in training:")
        log.bullet(stream.unreadable.values())
    return metrics


def begin(config, model, task, tx, batch, mesh, checkpoints: store.Store, initial):
    """The state at the newest checkpoint, or a fresh one, each array created where it stays.

    Returns:
      The state, its layout (a tree of shardings), and the checkpoint's meta, empty when fresh.
    """

    def fresh(batch):
        variables = init_variables(model, task, batch, config.seed)
        return init_state(variables, tx, config.seed, config.ema)

    abstract = jax.eval_shape(fresh, batch)
    layout = meshes.shardings(mesh, abstract, config.sharding)
    newest = checkpoints.latest()
    if newest is not None:
        places = jax.tree.map(meshes.shape_on, abstract, layout)
        state, meta = checkpoints.restore(newest, places)
        log.say(f"resumed from step {newest} in {checkpoints.folder}")
        return state, layout, meta
    # Runs once, so it is not worth optimising: that would take longer than the rest.
    quick = {"xla_backend_optimization_level": 0}
    state = jax.jit(fresh, out_shardings=layout, compiler_options=quick)(batch)
    if initial:
        loaded = initial({"params": state.params, **state.model_state})
        params = loaded.pop("params")
        ema = jax.tree.map(jnp.copy, params) if config.ema else None
        state = replace(state, params=params, model_state=loaded, ema=ema)
    return state, layout, {}


def milestones(every: float, total: int) -> set[int]:
    """Steps at every multiple of `every` (0: none), and the last."""
    count = int(total / every + 1e-9) if every else 0
    return {max(1, round(i * every)) for i in range(1, count + 1)} | {total}


def scale_rate(optimizer: Mapping, batch: int) -> dict:
    """The optimiser's settings with lr times batch / base_batch, where a base_batch is given."""
    settings = dict(optimizer)
    base = settings.pop("base_batch", 0)
    return settings | {"lr": settings["lr"] * (batch / base if base else 1)}


@contextmanager
def interruptible():
    """Ctrl-C and SIGTERM ask for a stop after the step; a second one stops at once.

    Yields a function step -> bool that all processes answer alike.
    """
    asked = []

    def ask(number, _):
        asked.append(number)
        log.say("stopping after this step; once more stops without saving")
        signal.signal(number, before[number])

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}

    def asked_to_stop(step: int) -> bool:
        if jax.process_count() == 1:
            return bool(asked)
        # Agreeing costs a round trip, so not at every step.
        return step % 10 == 0 and bool(
            multihost_utils.process_allgather(np.array(bool(asked))).any()
        )

    try:
        yield asked_to_stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
