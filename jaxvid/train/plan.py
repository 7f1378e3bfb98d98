"""Plan of a run: its optimizer, the shardings of its arrays, its state and its step.

A plan computes nothing, so `memory` and `find_batch` can use it without data.
"""

import functools
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvid import param_rules, plug
from jaxvid.checkpoints import store
from jaxvid.config.values import EXAMPLE_CLASSES
from jaxvid.data.recipes.base import still
from jaxvid.data.sample import IMAGE_PREFIX, Sample
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError, did_you_mean
from jaxvid.tasks.base import Task
from jaxvid.train import optim
from jaxvid.train.flops import TRAINING, flops
from jaxvid.train.multigrid import Grid
from jaxvid.train.step import (
    Compiled,
    TrainState,
    forward,
    init_state,
    init_variables,
    make_train_step,
)

logger = logging.getLogger(__name__)

OFFLOADS = ("", "optimizer")
STEPS = 1000.0  # steps of an epoch in a plan without data, where the number hardly matters


@dataclass(frozen=True)
class Plan:
    """Plan of a run, before anything is computed.

    Attributes:
      config: the keys of configs/base.py.
      tx: the optimizer.
      rate: function from step to learning rate.
      fresh: function from batch to the state at step 0.
      state_shapes: shapes of the state, with shardings.
      all_gather: replicates the parameters that are sharded between steps.
      to_device: moves the optimizer state to the device.
      notes: lines on changes that the plan makes to the config.
    """

    config: Any
    model: nn.Module
    task: Task
    mesh: jax.sharding.Mesh
    tx: optax.GradientTransformation
    rate: Callable[[int], float]
    fresh: Callable[[Any], TrainState]
    state_shapes: TrainState
    all_gather: Callable[[Any], Any]
    to_device: Callable[[Any], Any]
    notes: tuple[str, ...] = ()

    @property
    def state_shardings(self) -> Any:
        """Return the tree of shardings of the state."""
        return jax.tree.map(lambda leaf: leaf.sharding, self.state_shapes)

    def step(self, level: int = logging.DEBUG) -> Compiled:
        """Return the training step, not compiled yet. It logs its compilation at `level`."""
        config = self.config
        function = make_train_step(
            self.model,
            self.task,
            self.tx,
            config.accumulate,
            config.ema,
            self.all_gather,
            self.to_device,
            self.freeze,
        )
        shardings = (self.state_shardings, meshes.replicated(self.mesh))
        return Compiled(function, level, donate_argnums=0, out_shardings=shardings)

    @property
    def freeze(self) -> tuple[str, ...]:
        """Return the patterns of the paths of parameters that are not trained."""
        return tuple(self.config.optim.get("freeze", ()))

    def flops(self, batch: Any) -> float:
        """Return the model's floating-point operations in a training step on one device."""
        rng = jax.random.key(0)
        ready = jax.eval_shape(lambda b: self.task.prepare(rng, b, train=True), batch)
        in_training = functools.partial(forward, self.model, self.task, freeze=self.freeze)
        arguments = (self.state_shapes.params, self.state_shapes.model_state, ready, rng)
        operations = TRAINING * flops(in_training, *arguments)
        if self.freeze:  # frozen layers have fewer products in the backward pass, or none

            def total(*arguments):
                out, _ = in_training(*arguments)
                leaves = (x for x in jax.tree.leaves(out) if jnp.issubdtype(x.dtype, jnp.inexact))
                return sum(x.astype(jnp.float32).sum() for x in leaves)

            operations = min(operations, flops(jax.grad(total), *arguments))
        return operations / self.mesh.size


def check_batch(config: Any, mesh: jax.sharding.Mesh) -> None:
    """Raise a UserError if a global batch cannot be divided over devices and micro-batches."""
    devices = mesh.shape["data"]
    if config.batch % (devices * config.accumulate):
        raise UserError(
            f"config.batch={config.batch} must divide by {devices * config.accumulate}:"
            f" {devices} devices on the data axis x config.accumulate={config.accumulate}"
        )
    images = config.data.get("image_batch", 0)
    if images % (devices * config.accumulate):
        raise UserError(
            f"config.data.image_batch={images} must divide by {devices * config.accumulate}, as"
            " config.batch"
        )


def plan(
    config: Any,
    model: nn.Module,
    task: Task,
    mesh: jax.sharding.Mesh,
    batch: Any,
    steps_per_epoch: float,
    grid: Grid | None = None,
) -> Plan:
    """Return the plan to train on batches like `batch`.

    Args:
      config: the keys of configs/base.py.
      model: the model.
      task: the task.
      mesh: the device mesh.
      batch: arrays or shapes of a global batch.
      steps_per_epoch: number of steps of an epoch.
      grid: the shapes of all steps, with multigrid training.

    Raises:
      UserError: the optimizer, schedule, layout or offload is unknown, parameters are unfrozen
        after the end, or the model does not take the inputs of the task.
    """
    if config.offload not in OFFLOADS:
        known = did_you_mean(config.offload, OFFLOADS[1:])
        raise UserError(f'config.offload: "{config.offload}" is nothing to offload.{known}')
    length = dict(steps_per_epoch=steps_per_epoch, epochs=config.epochs)
    factor = plug.call(optim.schedule, "config.schedule", **length, **config.schedule)
    epoch = lambda step: step / steps_per_epoch  # noqa: E731
    if grid:
        epoch = grid.epoch
        factor = grid.rate(*(config.schedule.get(key, 0.0) for key in ("warmup", "warmup_factor")))
    settings = scale_rate(config.optim, config.batch)
    settings, notes = full_rates(settings, config.init.weights)
    for pattern, start in settings.get("unfreeze", ()):
        if start >= config.epochs:
            raise UserError(
                f'config.optim.unfreeze: "{pattern}" is trained from epoch {start:g} on, but the'
                f" run ends at config.epochs={config.epochs:g}; use config.optim.freeze for"
                " parameters that are never trained"
            )
    shapes = jax.eval_shape(lambda b: init_variables(model, task, b, config.seed), batch)
    known = dict(params=shapes["params"], factor=factor, epoch=epoch)
    tx = plug.call(optim.build, "config.optim", **known, **settings)
    notes = (*notes, *frozen_lines(shapes["params"], settings))

    def fresh(batch):
        variables = init_variables(model, task, batch, config.seed)
        return init_state(variables, tx, config.seed, config.ema)

    abstract = jax.eval_shape(fresh, batch)
    layout = on_device = meshes.shardings(mesh, abstract, config.sharding)
    if config.offload:
        layout = replace(layout, opt_state=meshes.on_host(layout.opt_state))

    def all_gather(params):
        return jax.lax.with_sharding_constraint(params, meshes.gathered(on_device.params))

    def to_device(opt_state):
        return jax.device_put(opt_state, on_device.opt_state) if config.offload else opt_state

    return Plan(
        config,
        model,
        task,
        mesh,
        tx,
        lambda step: settings["lr"] * float(factor(step)),
        fresh,
        jax.tree.map(meshes.shape_on, abstract, layout),
        all_gather,
        to_device,
        notes,
    )


def begin(
    planned: Plan, batch: Any, checkpoints: store.Store, initial: Callable[[dict], dict] | None
) -> tuple[TrainState, dict]:
    """Return the state of the newest checkpoint, or a fresh one. Arrays are created sharded.

    Args:
      planned: the plan of the run.
      batch: a batch.
      checkpoints: the checkpoints of the run.
      initial: function from fresh variables to the variables to start from.

    Returns:
      The state, and the meta of the checkpoint, empty for a fresh state.

    Raises:
      UserError: parameters are frozen in a fresh state without weights to start from.
    """
    for line in planned.notes:
        logger.info(line)
    newest = checkpoints.latest()
    if newest is not None:
        state, meta = checkpoints.restore(newest, planned.state_shapes)
        logger.info(f"resumed from step {newest} in {checkpoints.folder}")
        return state, meta
    if initial is None and (frozen := planned.config.optim.get("freeze")):
        raise UserError(
            f"config.optim.freeze keeps {', '.join(frozen)} at random values; name the weights to"
            " start from with --config.init.weights, or set --config.optim.freeze='()'"
        )
    # This runs once, so it is not optimized, which would take longer than the rest.
    quick = {"xla_backend_optimization_level": 0}
    make = jax.jit(planned.fresh, out_shardings=planned.state_shardings, compiler_options=quick)
    state = make(batch)
    if initial:
        loaded = initial({"params": state.params, **state.model_state})
        params = loaded.pop("params")
        ema = jax.tree.map(jnp.copy, params) if planned.config.ema else None
        state = replace(state, params=params, model_state=loaded, ema=ema)
    return state, {}


def scale_rate(optimizer: Mapping, batch: int) -> dict:
    """Return optimizer settings with the learning rate for a batch size, without base_batch."""
    settings = {key: value for key, value in optimizer.items() if key != "base_batch"}
    base = optimizer.get("base_batch", 0)
    return settings | {"lr": optim.scaled(settings["lr"], batch, base_batch=base)}


def full_rates(optimizer: Mapping, weights: str) -> tuple[dict, tuple[str, ...]]:
    """Return optimizer settings without lower rates for pretrained parts if nothing is pretrained.

    Args:
      optimizer: settings of the optimizer.
      weights: `config.init.weights`, "" for random values.

    Returns:
      The settings, and lines on the changes.
    """
    scales = optimizer.get("lr_scale", ())
    low = [f'"{pattern}" (x {scale:g})' for pattern, scale in scales if scale < 1]
    if weights or not low:
        return dict(optimizer), ()
    full = tuple((pattern, max(scale, 1.0)) for pattern, scale in scales)
    line = f"training starts from random values: the low learning rate of {', '.join(low)} is off"
    return {**optimizer, "lr_scale": full}, (line,)


def frozen_lines(params: Any, settings: Mapping) -> Iterator[str]:
    """Yield a line for the parameters that are frozen, and one for each epoch of unfreezing.

    Args:
      params: the tree of parameters, or of their shapes.
      settings: settings of the optimizer.
    """
    freeze, unfreeze = settings.get("freeze", ()), settings.get("unfreeze", ())
    phase = param_rules.flatten(optim.phases(params, freeze, unfreeze))
    sizes = {path: math.prod(leaf.shape) for path, leaf in param_rules.flatten(params).items()}
    starts = sorted({start for _, start in unfreeze})
    lines = {"frozen": "frozen"} if freeze else {}
    lines |= {f"from epoch {start}": f"trained from epoch {start:g} on" for start in starts}
    for name, line in lines.items():
        count = sum(size for path, size in sizes.items() if phase[path] == name)
        yield f"{line}: {count:,} of {sum(sizes.values()):,} parameters"


# Without data


def rehearse(config: Any, mesh: jax.sharding.Mesh) -> tuple[Plan, Sample, dict[str, Any]]:
    """Return the plan of a config, a sample of training, and the shapes of a batch with shardings.

    Raises:
      UserError: a part that `config` names does not exist, or does not take its options, or the
        batch cannot be divided over devices and micro-batches.
    """
    check_batch(config, mesh)
    classes = config.data.num_classes or EXAMPLE_CLASSES
    model = plug.load("models", config.model, num_classes=classes, dtype=jnp.dtype(config.dtype))
    task = plug.load("tasks", config.task, num_classes=classes)
    sample = example_sample(config, "train", task)
    shapes = shapes_of(sample, config.batch, mesh)
    if config.data.get("images"):
        image = example_sample(config, "images", task)
        images = shapes_of(image, config.data.image_batch, mesh)
        shapes |= {f"{IMAGE_PREFIX}{key}": shape for key, shape in images.items()}
    return plan(config, model, task, mesh, shapes, STEPS), sample, shapes


def example_sample(config: Any, split: str, task: Task) -> Sample:
    """Return a synthetic sample after all transforms, for which no data are needed.

    Args:
      split: "train", "val", "test", or "images" for the images of training.
    """
    recipe, classes = config.data.recipe, classes_of(task)
    if split == "images":
        recipe, split = still(recipe), "train"
    # The model may decide what the recipe takes from the data, such as the channels of features.
    model = config.model if "model" in config else {}
    settled = {k: model[k] for k, v in recipe.items() if not v and model.get(k)}
    needs = dict(num_classes=classes, all_texts=getattr(task, "all_texts", False))
    sample = plug.load("data.recipes", {**recipe, **settled}, "example", **needs)
    sample = {"label": np.zeros(task.label_shape, np.int32), **sample}
    rng = np.random.default_rng(0)
    for transform in plug.load("data.recipes", recipe, split=split):
        sample = transform(sample, rng)
    return sample | {"mask": np.float32(1), "index": np.int32(0)}


def classes_of(task: Task) -> int:
    """Return the number of classes of a task, or a usual number if it has none."""
    return getattr(task, "num_classes", 0) or EXAMPLE_CLASSES


def shapes_of(sample: Sample, rows: int, mesh: jax.sharding.Mesh) -> dict[str, Any]:
    """Return the shapes of a batch of such samples, with shardings."""
    place = meshes.over_data(mesh)
    return {
        key: jax.ShapeDtypeStruct((rows, *np.shape(x)), np.asarray(x).dtype, sharding=place)
        for key, x in sample.items()
    }
