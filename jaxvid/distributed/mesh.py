"""Device mesh, shardings by rules on parameter paths, and arrays that span processes."""

import os
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxvid import param_rules
from jaxvid.errors import UserError

# Rows of (path pattern, layout). A layout names a mesh axis for each of the last dimensions of a
# parameter. () replicates it. "fsdp" shards its largest divisible dimension over the data axis,
# except for vectors, which are too short. Such parameters are gathered for each step.
LAYOUTS: dict[str, param_rules.Rules] = {
    "replicated": (),
    "fsdp": ((".*", "fsdp"),),
    # As in Megatron-LM (Shoeybi et al., 2019): layers that widen are split by columns, layers that
    # narrow by rows.
    "tensor": (
        (".*/(qkv|fc1)/(kernel|bias)", ("model",)),
        (".*/(proj|fc2)/kernel", ("model", None)),
    ),
}


def find_devices() -> list[Any]:
    """Return the devices that JAX computes on.

    Raises:
      UserError: there is no device of the kind in JAX_PLATFORMS.
    """
    try:
        return jax.devices()
    except (RuntimeError, AssertionError) as error:
        asked = os.environ.get("JAX_PLATFORMS", "")
        reason = f": {error}" if str(error) else ""
        raise UserError(
            f'JAX finds no devices for JAX_PLATFORMS="{asked}"{reason}. Install what it needs'
            " (pip install 'jaxvid[cuda12]' for NVIDIA GPUs), or unset JAX_PLATFORMS"
        ) from error


def build(data: int = -1, model: int = 1) -> Mesh:
    """Return a mesh with axes "data" and "model" over all devices of all processes.

    Args:
      data: size of the data axis; -1 uses all remaining devices.
      model: size of the model axis; -1 uses all remaining devices.

    Raises:
      UserError: the sizes do not fit the number of devices.
    """
    n = jax.device_count()
    shape = [data, model]
    if -1 in shape:
        shape[shape.index(-1)] = n // -(data * model)
    if shape[0] * shape[1] != n or min(shape) < 1:
        raise UserError(f"config.mesh: data={data} x model={model} does not make {n} devices")
    return jax.make_mesh(tuple(shape), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def shardings(mesh: Mesh, tree, layout: str | param_rules.Rules):
    """Return the tree of NamedShardings of `tree` (arrays or shapes).

    Args:
      layout: name of a layout, or its rows.
    """
    if isinstance(layout, str):
        if layout not in LAYOUTS:
            raise UserError(f'config.sharding: "{layout}" is none of {", ".join(LAYOUTS)}')
        layout = LAYOUTS[layout]
    rows = param_rules.label(tree, layout, default=())
    return jax.tree.map(
        lambda leaf, row: NamedSharding(mesh, _spec(leaf.shape, row, mesh)), tree, rows
    )


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def on_host(layout):
    """Return a tree of shardings with its arrays in host memory, which devices can read."""
    return jax.tree.map(lambda sharding: sharding.with_memory_kind("pinned_host"), layout)


def gathered(layout):
    """Return a tree of shardings with nothing sharded over the data axis."""

    def whole(sharding):
        axes = (None if axis == "data" else axis for axis in sharding.spec)
        return NamedSharding(sharding.mesh, PartitionSpec(*axes))

    return jax.tree.map(whole, layout)


def over_data(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch: its rows are sharded over the data axis."""
    return NamedSharding(mesh, PartitionSpec("data"))


def shape_on(leaf, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    """Return the shape of an array with a sharding, to restore or create the array."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def part(mesh: Mesh) -> tuple[int, int]:
    """Return (index, count): this process reads part `index` of `count` equal parts of a batch.

    Processes whose devices differ only in their position on the model axis read the same rows.
    """
    local = [d.process_index == jax.process_index() for d in mesh.devices.flat]
    rows = np.unique(np.nonzero(np.reshape(local, mesh.devices.shape))[0])
    size, total = len(rows), mesh.shape["data"]
    if total % size or rows[0] % size or rows[-1] - rows[0] >= size:
        raise UserError(
            f"config.mesh: data={total} x model={mesh.shape['model']} gives process"
            f" {jax.process_index()} rows {rows.tolist()} of the data axis, which is no even part"
            " of it; let model divide the devices of a process, or be a multiple of them"
        )
    return int(rows[0]) // size, total // size


def put_batch(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """Return a global batch, sharded over the data axis, from the rows that this process has."""
    sharding, (_, count) = over_data(mesh), part(mesh)
    return {
        k: jax.make_array_from_process_local_data(sharding, v, (len(v) * count, *v.shape[1:]))
        for k, v in batch.items()
    }


def _spec(shape, row, mesh):
    if row == "fsdp":
        size = mesh.shape["data"]
        if len(shape) < 2:
            return PartitionSpec()
        fits = [axis for axis, length in enumerate(shape) if length % size == 0]
        if not fits:
            return PartitionSpec()
        widest = max(fits, key=lambda axis: shape[axis])
        return PartitionSpec(*("data" if axis == widest else None for axis in range(len(shape))))
    row = (None,) * (len(shape) - len(row)) + tuple(row) if row else ()
    # A dimension that the axis does not divide is not sharded, such as 3 heads on 2 devices.
    names = (a if a and shape[i] % mesh.shape[a] == 0 else None for i, a in enumerate(row))
    return PartitionSpec(*names)


def describe_devices() -> str:
    """Return the kind and number of devices, as '8 x NVIDIA H200 in 1 process'."""
    kinds = jax.devices()
    many = f"{jax.process_count()} processes" if jax.process_count() > 1 else "1 process"
    return f"{len(kinds)} x {kinds[0].device_kind} in {many}"
