"""Refuse a training step that does not fit on a device, and name settings that do.

Before the step is compiled an estimate decides, which refuses only what is clearly too large: a
process that takes too much memory of its machine is killed without a word. After that, XLA's own
number decides.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from jaxvid import log
from jaxvid.data.sample import Sample
from jaxvid.distributed import mesh as meshes
from jaxvid.errors import UserError
from jaxvid.train import estimate, fitting, host_memory
from jaxvid.train.estimate import size_on_device
from jaxvid.train.evaluate import batch_size
from jaxvid.train.plan import Plan, example_sample, shapes_of
from jaxvid.train.step import Compiled

logger = logging.getLogger(__name__)

REFUSED = 1.6  # times the capacity, as estimates may be too large; below it XLA decides
SMALLER = 0.8  # what is advised needs at most this part of a step that did not fit


def capacity() -> int:
    """Bytes of memory of one device; on CPUs, its part of what this process can still take."""
    device = jax.local_devices()[0]
    if found := (device.memory_stats() or {}).get("bytes_limit"):
        return found
    return host_memory.available() // jax.local_device_count()


class Fit:
    """Refuses a step that does not fit, with settings that do.

    Args:
      limit: bytes on a device; 0: what it has.
    """

    def __init__(self, limit: int = 0):
        self.limit = limit or capacity()
        self._advice = lambda: ""

    def foresee(self, planned: Plan, batch: Any) -> None:
        """Estimate the step, and evaluation, before anything is compiled.

        Raises:
          UserError: the step needs clearly more than there is.
        """
        shapes = jax.tree.map(lambda x: meshes.shape_on(x, x.sharding), batch)
        self._advice = lambda: self.advice(planned, shapes)
        likely = estimate.training(planned, shapes)
        most = fitting.at_most(planned, shapes, likely)
        has = f"of memory on a device, which has {log.size(self.limit)}"
        if likely > REFUSED * self.limit:
            raise UserError(f"one step needs about {log.size(likely)} {has}. {self._advice()}")
        if most > self.limit:
            logger.info(f"warning: one step may need {log.size(most)} {has}")
        for line in self.evaluation(planned, shapes):
            logger.info(f"warning: {line}")

    def check(self, planned: Plan, step: Compiled, batch: Any) -> None:
        """Say what the compiled step needs.

        Raises:
          UserError: more than there is.
        """
        logger.info(f"one step takes {log.size(step.memory)} of {log.size(self.limit)} on a device")
        shapes = jax.tree.map(lambda x: meshes.shape_on(x, x.sharding), batch)
        self._advice = lambda: self.advice(planned, shapes, step.memory)
        if step.memory > self.limit:
            raise UserError(
                f"one step needs {log.size(step.memory)} of memory on a device, which has"
                f" {log.size(self.limit)}. {self._advice()}"
            )

    def advice(self, planned: Plan, batch: Any, known: int = 0) -> str:
        """Return flags with which a step fits by estimate, in a sentence.

        Args:
          known: bytes that the step as it is takes, as XLA says; the estimates are scaled to it.
        """
        logger.info("looking for settings that fit ...")
        needed = fitting.at_most(planned, batch, estimate.training(planned, batch))
        limit = self.limit / max(known / needed, 1.0)
        # Memory may run out although the step should fit: then it must become smaller all the same.
        return in_words(*fitting.search(planned, batch, int(min(limit, SMALLER * needed))))

    def evaluation(self, planned: Plan, batch: Any) -> Iterator[str]:
        """Yield a line for validation and for the test on all views, where they would not fit.

        Args:
          batch: shapes of training, which needs more than evaluation on inputs of the same size.
        """
        if "recipe" not in planned.config.data:  # the caller's own transforms
            return
        at_once = size_on_device(batch) // planned.config.accumulate
        for split, what in (("val", "validation"), ("test", "the test on all views")):
            try:
                sample = example_sample(planned.config, split, planned.task)
                yield from self._of_split(planned, split, what, sample, at_once)
            except UserError as error:  # this run may never need it
                yield f"{what} will not run: {error}"

    def _of_split(
        self, planned: Plan, split: str, what: str, sample: Sample, at_once: int
    ) -> Iterator[str]:
        """Yield a line where evaluation on samples like `sample` would not fit.

        Args:
          at_once: bytes of inputs with which evaluation fits if training does.
        """
        mesh, devices = planned.mesh, planned.mesh.shape["data"]
        views = max((x.shape[0] for x in sample.values() if np.ndim(x) > 3), default=1)
        views = views if split == "test" else 1

        def needs(rows: int) -> int:
            shapes = shapes_of(sample, rows, mesh)
            small = size_on_device(shapes) <= at_once
            return 0 if small else estimate.evaluation(planned, shapes)

        rows = batch_size(planned.config, mesh, views)
        if (needed := needs(rows)) > self.limit:
            fewer = rows
            while fewer > devices and needs(fewer) > self.limit:
                fewer = max(fewer // 2 // devices, 1) * devices
            of = f" of {views} views" if views > 1 else ""
            yield (
                f"{what} takes {rows} samples{of} at once, which may need {log.size(needed)} of"
                f" {log.size(self.limit)} on a device; --config.eval_batch={fewer * views} needs"
                " less"
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


def in_words(changes: Mapping[str, Any], needed: int) -> str:
    """A sentence on what `fitting.search` returns."""
    if not changes:
        return (
            "No smaller batch, clip or variant of this model fits by estimate: it needs a device"
            " with more memory, or another model"
        )
    flags = " ".join(f"--config.{key}={value}" for key, value in changes.items())
    return (
        f"By estimate it fits ({log.size(needed)}) with {flags}\n"
        "`python -m jaxvid.tools.find_batch --config ...` with these flags finds the largest batch"
    )
