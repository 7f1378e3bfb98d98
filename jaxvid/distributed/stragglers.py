"""Which process holds up the others: one that waits for its data, or whose device computes slowly.

A step ends on all devices at once, when the slowest is done, so the times of steps do not tell. A
small computation that involves nobody else does.
"""

import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxvid.distributed import peers

# backend -> type and side of a square matrix, and how many products: milliseconds, and longer than
# the slices in which a core is shared, so that the best of a few rounds tells of that, too.
WORK: dict[str, tuple[Any, int, int]] = {"cpu": (jnp.float32, 512, 8)}
GPU = jnp.bfloat16, 2048, 200
ROUNDS = 3
SLOWER = 1.5  # times the others: more than what two good devices differ by
STARVED, HUNGRIER = 0.05, 2  # of the time, and times the others


class Probe:
    """Seconds of a few matrix products on the slowest device of this process.

    To be called while the devices have nothing else to do.
    """

    def __init__(self):
        dtype, side, products = WORK.get(jax.default_backend(), GPU)
        local = jax.local_devices()
        mesh = jax.make_mesh((len(local),), ("device",), (AxisType.Auto,), devices=local)
        each = NamedSharding(mesh, PartitionSpec("device"))
        fill = jax.jit(
            lambda: jnp.full((len(local), side, side), 1 / side, dtype), out_shardings=each
        )
        self.x = fill()
        self.multiply = jax.jit(
            lambda x: jax.lax.fori_loop(0, products, lambda _, y: y @ x, x), out_shardings=each
        )
        self()  # compiles

    def __call__(self) -> float:
        times = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            jax.block_until_ready(self.multiply(self.x))
            times.append(time.monotonic() - began)
        return min(times)


class Stragglers:
    """Tells at each line of the log who holds up the others; nothing where there are no others."""

    def __init__(self):
        self._probe = None if peers.alone() else Probe()

    def lines(self, wait: float) -> list[str]:
        """One on who waits for data, one on who computes slowly, if there is such a process.

        Args:
          wait: share of its time that this process waits for data.
        """
        if self._probe is None:
            return []
        waits = peers.compared("wait", wait)
        seconds = peers.compared("probe", self._probe())
        return describe(waits, seconds, peers.values(peers.HOSTS))


def describe(
    waits: Mapping[int, float], seconds: Mapping[int, float], hosts: Mapping[int, str]
) -> list[str]:
    """The lines, by what each process measured: its share of waiting, and its probe's seconds."""

    def name(process):
        return f"process {process} ({hosts.get(process, 'unknown host')})"

    lines = []
    process, most, others = outlier(waits)
    if most > max(STARVED, HUNGRIER * others):
        lines.append(f"{name(process)} waits {most:.0%} of its time for data, others {others:.0%}")
    process, most, others = outlier(seconds)
    if most > SLOWER * others:
        lines.append(
            f"{name(process)} computes slowly, and all wait for it: {1e3 * most:.1f} ms for what"
            f" takes others {1e3 * others:.1f}"
        )
    return lines


def outlier(values: Mapping[int, float]) -> tuple[int, float, float]:
    """The process with the largest value, that value, and the median of the others."""
    if len(values) < 2:
        return 0, 0.0, 0.0
    worst = max(values, key=lambda process: values[process])
    others = [value for process, value in values.items() if process != worst]
    return worst, values[worst], float(np.median(others))
