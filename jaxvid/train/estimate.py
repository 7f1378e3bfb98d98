"""Estimate of the memory that a training step needs on a device, before it is compiled.

The estimate counts the state, the batch, and the arrays of the step that exist at the same time
(liveness.py). On 15 small configs of nine families it was 0.82 to 1.30 times the memory of XLA's
program on a CPU, except for 1.52 times for a tiny CLIP4Clip. It was not measured on a GPU.
Backends differ in two points. On a CPU, XLA computes bfloat16 in float32, so a float counts four
bytes there. Also on a CPU, XLA may store what `remat` should compute again; see `fitting.at_most`.
"""

import math
from typing import Any

import jax

from jaxvid.train import liveness
from jaxvid.train.batch_norm import with_groups
from jaxvid.train.plan import Plan
from jaxvid.train.step import make_eval_step, make_train_step

# Factors for the temporary arrays, for the memory of libraries and of changes of layout. It is a
# larger share without a backward pass: for evaluation, the estimate was 0.7 to 1.5 times XLA's
# number.
MARGIN, EVALUATION_MARGIN = 1.2, 1.6


def training(planned: Plan, batch: Any) -> int:
    """Return the bytes that a training step needs on a device, from its trace.

    Args:
      planned: the plan of the run.
      batch: shapes of a global batch.
    """
    config, state = planned.config, planned.state_shapes
    rows = len(batch["mask"]) // planned.mesh.shape["data"] // config.accumulate
    function = make_train_step(
        with_groups(planned.model, lambda groups: math.gcd(groups, rows)),
        planned.task,
        planned.tx,
        config.accumulate,
        config.ema,
        freeze=planned.freeze,
    )
    # A layout over the model axis shards activations, too, which the trace does not show.
    temporary = peak(function, whole(state), of_device(batch, planned.mesh))
    params = sum(liveness.size(leaf) for leaf in jax.tree.leaves(state.params))
    held = size_on_device(state) + size_on_device(batch)
    # Parameters that are sharded between steps are gathered for the step.
    held += params - size_on_device(state.params)
    if config.offload and jax.default_backend() != "cpu":  # on a CPU it is the same memory
        optimizer = size_on_device(state.opt_state)
        held -= optimizer
        temporary = max(temporary, params + optimizer)  # it is loaded when the gradients exist
    return int(held + params + MARGIN * temporary)


def evaluation(planned: Plan, batch: Any) -> int:
    """Return the bytes that an evaluation step of a run needs on a device, state included."""
    function = make_eval_step(planned.model, planned.task, planned.config.eval.views)
    state = planned.state_shapes
    variables = whole({"params": state.params, **state.model_state})
    temporary = peak(function, variables, of_device(batch, planned.mesh))
    held = size_on_device(state) + size_on_device(batch)
    return int(held + EVALUATION_MARGIN * temporary)


def peak(function: Any, *shapes: Any) -> int:
    """Return the peak memory of `function` on this backend in bytes, without its arguments."""
    float_size = 4 if jax.default_backend() == "cpu" else 1
    return liveness.peak(jax.make_jaxpr(function)(*shapes).jaxpr, float_size)


def whole(tree: Any) -> Any:
    """Return the shapes of the arrays of a tree, without shardings."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def of_device(batch: Any, mesh: jax.sharding.Mesh) -> Any:
    """Return the shapes of the part of a global batch that is on one device."""
    count = mesh.shape["data"]
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((x.shape[0] // count, *x.shape[1:]), x.dtype), batch
    )


def size_on_device(tree: Any) -> int:
    """Return the bytes that a tree of arrays, or of shapes with shardings, needs on one device."""

    def size(leaf):
        shape = leaf.sharding.shard_shape(leaf.shape) if leaf.sharding else leaf.shape
        return liveness.size(jax.ShapeDtypeStruct(shape, leaf.dtype))

    return sum(size(leaf) for leaf in jax.tree.leaves(tree))
