"""What a training step needs on a device, and what would make it need less.

XLA says what a compiled step needs before it runs. What a change of the config saves is estimated
without compiling again: parameters, optimiser state and batch are counted; activations go with the
residuals that autodiff keeps from the forward to the backward pass, which tracing tells.
"""

import functools
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp

from jaxvid import log, plug
from jaxvid import mesh as meshes
from jaxvid.errors import UserError
from jaxvid.tasks.base import Task
from jaxvid.train.begin import Plan
from jaxvid.train.gradient import outputs
from jaxvid.train.step import Compiled, init_variables

SHOWN = 3  # savings in a message


def capacity() -> int:
    """Bytes of memory of one device; of the machine's, where devices are its CPU cores."""
    device = jax.local_devices()[0]
    if found := (device.memory_stats() or {}).get("bytes_limit"):
        return found
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return machine // jax.local_device_count()


class Fit:
    """Refuses a step that does not fit, with what would help.

    Args:
      limit: bytes on a device; 0: what it has.
    """

    def __init__(self, limit: int = 0):
        self.limit = limit or capacity()
        self._advice = lambda: ""

    def check(self, planned: Plan, step: Compiled, batch: Any) -> None:
        """Say what the compiled step needs.

        Raises:
          UserError: more than there is.
        """
        log.say(f"one step takes {log.size(step.memory)} of {log.size(self.limit)} on a device")
        shapes = jax.tree.map(lambda x: meshes.shape_on(x, x.sharding), batch)
        self._advice = lambda: advice(savings(planned, step, shapes))
        if step.memory > self.limit:
            raise UserError(
                f"one step needs {log.size(step.memory)} of memory on a device, which has"
                f" {log.size(self.limit)}. {self._advice()}"
            )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Memory that runs out all the same is an error with the same advice."""
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise UserError(f"out of memory on a device. {self._advice()}\n{error}") from error


def advice(savings: Mapping[str, float]) -> str:
    """Those that save most, in words."""
    found = sorted(savings.items(), key=lambda row: -row[1])
    best = [f"{name} ({log.size(saved)})" for name, saved in found[:SHOWN] if saved > 0]
    return f"By estimate this would save: {', '.join(best)}" if best else ""


def savings(planned: Plan, step: Compiled, batch: Any) -> dict[str, float]:
    """Change of the config -> bytes that it saves on a device, by estimate.

    Args:
      step: compiled.
      batch: shapes with shardings.
    """
    config, mesh, places = planned.config, planned.mesh, planned.places
    clips = config.batch // mesh.shape["data"]
    activations = max(step.temporary - size_on_device(places.params), 0)  # the rest is gradients
    found: dict[str, float] = {}
    if clips % (2 * config.accumulate) == 0:
        # The batch is augmented as a whole, which stays, and a part of it is copied at a time.
        prepare = functools.partial(planned.task.prepare, train=True)
        ready = jax.eval_shape(prepare, jax.random.key(0), batch)
        copied = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(ready)) / mesh.shape["data"]
        found[f"config.accumulate={2 * config.accumulate}"] = activations / 2 - copied
        half = activations / 2 + size_on_device(batch) / 2
        found[f"config.batch={config.batch // 2}"] = half
    if mesh.shape["data"] > 1 and config.sharding == "replicated":
        layout = meshes.shardings(mesh, places, "fsdp")
        cut = jax.tree.map(meshes.shape_on, places, layout)
        # A step gathers its parameters, for which gradients that are cut make up.
        found["config.sharding=fsdp"] = size_on_device(places) - size_on_device(cut)
    # What follows changes nothing on a CPU: XLA keeps there what it was told to compute twice, and
    # computes in float32 what is bfloat16.
    if jax.default_backend() != "cpu":
        if not config.offload:
            found["config.offload=optimizer"] = size_on_device(places.opt_state)
        kept = residuals(planned.model, planned.task, batch)
        for name, model in changed_models(planned).items():
            left = residuals(model, planned.task, batch) / kept
            found[name] = activations * (1 - left)
    return found


def changed_models(planned: Plan) -> dict[str, Any]:
    """Change of the config -> the model with it, where it would need less memory."""
    config, found = planned.config, {}

    def built(dtype, **changes):
        spec = {**config.model, **changes}
        classes = planned.task.num_classes  # type: ignore[attr-defined]
        return plug.load("models", spec, num_classes=classes, dtype=jnp.dtype(dtype))

    if "remat" in config.model and not config.model["remat"]:
        found["config.model.remat=True"] = built(config.dtype, remat=True)
    if config.dtype != "bfloat16":
        found["config.dtype=bfloat16"] = built("bfloat16")
    return found


def size_on_device(tree: Any) -> int:
    """Bytes of the arrays (or shapes with shardings) of a tree on one device."""

    def size(leaf):
        shape = leaf.sharding.shard_shape(leaf.shape) if leaf.sharding else leaf.shape
        return math.prod(shape) * leaf.dtype.itemsize

    return sum(size(leaf) for leaf in jax.tree.leaves(tree))


def residuals(model: Any, task: Task, batch: Any) -> int:
    """Bytes that autodiff keeps of one global batch, parameters left out; traced, not compiled."""
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)
    variables = jax.eval_shape(lambda b: init_variables(model, task, b, 0), shapes)

    def forward(params, state, batch):
        rng = jax.random.key(0)
        batch = task.prepare(rng, batch, True)

        def loss(params):
            return task.loss(outputs(model, task, params, state, batch, rng)[0], batch)[0]

        return jax.vjp(loss, params)[1]  # a pytree of what it keeps

    state = {k: v for k, v in variables.items() if k != "params"}
    kept = jax.eval_shape(forward, variables["params"], state, shapes)
    count = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(kept))
    return count - sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(variables["params"]))
