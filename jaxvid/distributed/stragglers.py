"""Detection of a process that delays the others: its data are late, or its device is slow.

A step ends on all devices at once, when the slowest is done, so the times of steps do not show the
slow one. A small computation on the devices of one process does.
"""

import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxvid.distributed import peers

# {backend: (dtype, size of a square matrix, number of products)}. The products take milliseconds,
# longer than a time slice of a shared core, so that the best of a few rounds shows sharing, too.
WORK: dict[str, tuple[Any, int, int]] = {"cpu": (jnp.float32, 512, 8)}
GPU = jnp.bfloat16, 2048, 200
ROUNDS = 3
SLOWER = 1.5  # ratio to the others, larger than the difference between two good devices
STARVED, HUNGRIER = 0.05, 2  # share of the time spent waiting, and its ratio to the others


class Probe:
    """Measures a few matrix products, in seconds, on the slowest device of this process.

    To be called while the devices are idle.
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
    """Reports processes that delay the others, at each line of the log, if there are several."""

    def __init__(self):
        self._probe = None if peers.alone() else Probe()

    def lines(self, wait: float) -> list[str]:
        """Return up to two lines: on a process that waits for data, and on one with a slow device.

        Args:
          wait: share of the time that this process waits for data.
        """
        if self._probe is None:
            return []
        waits = peers.compared("wait", wait)
        seconds = peers.compared("probe", self._probe())
        return describe(waits, seconds, peers.values(peers.HOSTS))


def describe(
    waits: Mapping[int, float], seconds: Mapping[int, float], hosts: Mapping[int, str]
) -> list[str]:
    """Return the lines of `Stragglers.lines`.

    Args:
      waits: {process: share of its time that it waits for data}.
      seconds: {process: seconds that its `Probe` measured}.
      hosts: {process: name of its host}.
    """

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
    """Return the process with the largest value, this value, and the median of the others."""
    if len(values) < 2:
        return 0, 0.0, 0.0
    worst = max(values, key=lambda process: values[process])
    others = [value for process, value in values.items() if process != worst]
    return worst, values[worst], float(np.median(others))
