"""Attention inside windows, with a learned bias for each relative position of two tokens.

Shapes: b batch, w windows, n tokens of a window, g heads, d channels of a head, r relative
positions, s region maps.
"""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from jaxvid.ops.attention import FORMULATIONS, HALF, attention, compile_error
from jaxvid.ops.formulation import forced_name, log_once

TILE = 64  # tokens


def window_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    table: jax.Array,
    codes: np.ndarray,
    regions: np.ndarray | None = None,
    drop: Callable[[jax.Array], jax.Array] | None = None,
) -> jax.Array:
    """Average values over the keys of a window, with weights softmax(d ** -0.5 q k + bias).

    The formulation "kernel" is chosen only where it is forced: it was never measured.

    Args:
      q, k, v: (b, w, n, g, d).
      table: (r, g), the learned bias of each relative position; see `relative_rows`.
      codes: (n,) integers, the positions of tokens.
      regions: (w, n) integers of at least 0; a query sees the keys of its own region. None is one
        region.
      drop: Function that is applied to the weights (b, w, g, n, n), such as dropout.

    Returns:
      (b, w, n, g, d) in the dtype of `v`.
    """
    if forced_name("attention", FORMULATIONS) == "kernel":
        reason = _reason_against_kernel(q, drop) or _kernel_problem(q, table)
        if not reason:
            maps = np.zeros((1, len(codes))) if regions is None else regions
            return _kernel(q, k, v, table.T.astype(jnp.float32), np.int32(codes), np.int32(maps))
        log_once(
            __name__, f"attention: another formulation instead of the kernel of windows: {reason}"
        )
    # Without the barrier, every window would read biases in the order of the gather, with gaps.
    bias = lax.optimization_barrier(table[relative_rows(codes, len(table))].transpose(2, 0, 1))
    mask = None if regions is None else (regions[:, :, None] == regions[:, None])[:, None]
    return attention(q, k, v, bias=bias, mask=mask, drop=drop)


def relative_rows(codes: np.ndarray, count: int) -> np.ndarray:
    """Return the row of a table of `count` rows for each query and key (n, n)."""
    return codes[:, None] - codes[None] + count // 2


def _reason_against_kernel(q, drop):
    """Return what the kernel does not support of `q`; "" if it supports it."""
    d = q.shape[-1]
    if d < 16 or d & (d - 1):
        return f"a head has {d} channels, which is no power of 2 of at least 16"
    if drop:
        return "weights are dropped"
    if jax.default_backend() == "cpu":
        return ""
    if jax.default_backend() != "gpu" or q.dtype not in HALF:
        return f"it takes bfloat16 or float16 on a GPU, not {q.dtype} on {jax.default_backend()}"
    return ""


def _kernel_problem(q, table):
    """Compile a small case of the same kind: an older GPU or a newer JAX may refuse the kernel."""
    if jax.default_backend() == "cpu":
        return ""
    return _probe_kernel(q.shape[-3], q.shape[-1], q.dtype, len(table))


@cache
def _probe_kernel(n, d, dtype, rows):
    def run(q, k, v, table):
        return _kernel(q, k, v, table, np.zeros(n, np.int32), np.zeros((1, n), np.int32))

    tokens = jax.ShapeDtypeStruct((1, 1, n, 1, d), dtype)
    return compile_error(run, tokens, tokens, tokens, jax.ShapeDtypeStruct((1, rows), jnp.float32))


@jax.custom_vjp
def _kernel(q, k, v, table, codes, regions):
    """The same with table (g, r) and regions (s, n): window i has the map i % s."""
    return _on_devices("forward")(q, k, v, table, codes, regions)[0]


def _kernel_forward(*arrays):
    out, sums = _on_devices("forward")(*arrays)
    return out, (*arrays, out, sums)


def _kernel_backward(saved, d_out):
    return *_on_devices("backward")(*saved, d_out), None, None


_kernel.defvjp(_kernel_forward, _kernel_backward)


# Axes of arguments and results. Devices may share b and g; each has all of the other axes.
TOKENS, SUMS, TABLE = "b w n g d", "b w g n", "g r"
INPUTS = [TOKENS, TOKENS, TOKENS, TABLE, "n", "s n"]
AXES = {
    "forward": (INPUTS, [TOKENS, SUMS]),
    "backward": ([*INPUTS, TOKENS, SUMS, TOKENS], [TOKENS, TOKENS, TOKENS, TABLE]),
}


@cache
def _on_devices(name: str):
    """Return a pass of the kernel that each device runs for its own samples and heads.

    XLA cannot divide a kernel by itself: it would gather the samples of all devices on each.
    """
    run = {"forward": _forward, "backward": _backward}[name]
    inputs, outputs = AXES[name]

    def partition(mesh, arguments, results):
        spec = arguments[0].sharding.spec
        b, _, _, g, _ = (*spec, *[None] * (5 - len(spec)))

        def place(axes):
            spec = PartitionSpec(*({"b": b, "g": g}.get(axis) for axis in axes.split()))
            return NamedSharding(mesh, spec)

        def on_device(*arrays):
            *results, last = run(*arrays)
            if name == "backward" and b is not None:
                last = lax.psum(last, b)
            return *results, last

        return mesh, on_device, tuple(map(place, outputs)), tuple(map(place, inputs))

    divided = custom_partitioning(run)
    divided.def_partition(
        partition,
        sharding_rule=f"{', '.join(inputs)} -> {', '.join(outputs)}",
        need_replication_factors=("w", "n", "d", "r", "s"),
    )
    return divided


def _forward(q, k, v, *shared):
    from jaxvid.ops import window_kernel  # Pallas takes a moment to import

    batch = q.shape[:2]
    q, k, v = (x.reshape(-1, *x.shape[2:]) for x in (q, k, v))
    results = window_kernel.forward(q, k, v, *shared, **_options(q))
    return tuple(x.reshape(*batch, *x.shape[1:]) for x in results)


def _backward(q, k, v, table, codes, regions, *saved):
    from jaxvid.ops import window_kernel

    shape = q.shape
    q, k, v, *saved = (x.reshape(-1, *x.shape[2:]) for x in (q, k, v, *saved))
    shared = table, codes, regions
    *results, d_bias = window_kernel.backward(q, k, v, *shared, *saved, **_options(q))
    rows = relative_rows(codes, table.shape[1])
    return *(x.reshape(shape) for x in results), jnp.zeros_like(table).at[:, rows].add(d_bias)


def _options(q):
    _, n, _, d = q.shape
    tile = min(TILE, max(16, 1 << (n - 1).bit_length()))
    return dict(scale=d**-0.5, tile=tile, interpret=jax.default_backend() == "cpu")
