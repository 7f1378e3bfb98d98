"""The device mesh, shardings by path rules, and arrays that span processes."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxvid import paths
from jaxvid.errors import UserError

# Rows (path pattern, layout). A layout names a mesh axis for each dimension of the parameter,
# () replicates it, and "fsdp" cuts its largest divisible dimension over the data axis.
LAYOUTS: dict[str, paths.Rules] = {
    "replicated": (),
    "fsdp": ((".*", "fsdp"),),
    # Megatron's split (Shoeybi et al., 2019): widen by columns, narrow by rows.
    "tensor": (
        (".*/(qkv|fc1)/kernel", (None, "model")),
        (".*/(qkv|fc1)/bias", ("model",)),
        (".*/(proj|fc2)/kernel", ("model", None)),
    ),
}


def build(data: int = -1, model: int = 1) -> Mesh:
    """A mesh with axes "data" and "model" over all devices of all processes; -1 takes the rest."""
    n = jax.device_count()
    shape = [data, model]
    if -1 in shape:
        shape[shape.index(-1)] = n // -(data * model)
    if shape[0] * shape[1] != n or min(shape) < 1:
        raise UserError(f"config.mesh: data={data} x model={model} does not make {n} devices")
    return jax.make_mesh(tuple(shape), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def shardings(mesh: Mesh, tree, layout: str | paths.Rules):
    """Tree of NamedShardings for `tree` (arrays or shapes) by a layout's name or by its rows."""
    if isinstance(layout, str):
        if layout not in LAYOUTS:
            raise UserError(f'config.sharding: "{layout}" is none of {", ".join(LAYOUTS)}')
        layout = LAYOUTS[layout]
    rows = paths.label(tree, layout, default=())
    return jax.tree.map(
        lambda leaf, row: NamedSharding(mesh, _spec(leaf.shape, row, mesh)), tree, rows
    )


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def over_data(mesh: Mesh) -> NamedSharding:
    """Rows of a batch are spread over the data axis."""
    return NamedSharding(mesh, PartitionSpec("data"))


def shape_on(leaf, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    """Shape and place of an array, for what restores or creates it."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def put_batch(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """This process's rows of a batch -> global arrays, spread over the data axis."""
    sharding = over_data(mesh)
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}


def _spec(shape, row, mesh):
    if row == "fsdp":
        size = mesh.shape["data"]
        fits = [axis for axis, length in enumerate(shape) if length % size == 0]
        if not fits:
            return PartitionSpec()
        widest = max(fits, key=lambda axis: shape[axis])
        return PartitionSpec(*("data" if axis == widest else None for axis in range(len(shape))))
    # A dimension that the axis does not divide stays whole: 3 heads on 2 devices.
    names = (a if a and shape[i] % mesh.shape[a] == 0 else None for i, a in enumerate(row))
    return PartitionSpec(*names)
