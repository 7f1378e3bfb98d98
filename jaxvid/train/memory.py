"""Check whether a training step fits on a device, and advise settings with which it does.

Before the step is compiled, an estimate refuses only steps that are clearly too large, because the
system kills a process that uses too much memory without a message. After that, XLA's own number
decides.
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

REFUSED = 1.6  # factor of the capacity, as estimates may be too large; below it XLA decides
SMALLER = 0.8  # advised settings need at most this share of the memory of a step that did not fit


def capacity() -> int:
    """Return the memory of one device in bytes; on CPUs, its share of the available memory."""
    device = jax.local_devices()[0]
    if found := (device.memory_stats() or {}).get("bytes_limit"):
        return found
    return host_memory.available() // jax.local_device_count()


class Fit:
    """Refuses a step that does not fit, and advises settings with which it does.

    Args:
      limit: maximum number of bytes on a device; 0 uses the capacity of the device.
    """

    def __init__(self, limit: int = 0):
        self.limit = limit or capacity()
        self._advice = lambda: ""

    def foresee(self, planned: Plan, batch: Any) -> None:
        """Estimate the memory of the step and of evaluation, before anything is compiled.

        Raises:
          UserError: the step needs clearly more memory than a device has.
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
        """Log the memory that the compiled step needs.

        Raises:
          UserError: the step needs more memory than a device has.
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
        """Return a sentence with flags with which a step should fit, by estimate.

        Args:
          planned: the plan of the run.
          batch: shapes of a batch, with shardings.
          known: bytes that the unchanged step needs according to XLA. Estimates are scaled to it.
        """
        logger.info("looking for settings that fit ...")
        needed = fitting.at_most(planned, batch, estimate.training(planned, batch))
        limit = self.limit / max(known / needed, 1.0)
        # If memory ran out although the step should fit, it must become smaller all the same.
        return in_words(*fitting.search(planned, batch, int(min(limit, SMALLER * needed))))

    def evaluation(self, planned: Plan, batch: Any) -> Iterator[str]:
        """Yield a line for validation, and one for the test on all views, if they would not fit.

        Args:
          planned: the plan of the run.
          batch: shapes of a batch of training, which needs more memory than evaluation on inputs of
            the same size.
        """
        if "recipe" not in planned.config.data:  # the caller's own transforms
            return
        at_once = size_on_device(batch) // planned.config.accumulate
        for split, what in (("val", "validation"), ("test", "the test on all views")):
            try:
                sample = example_sample(planned.config, split, planned.task)
                sample = _with_channels(sample, batch)
                yield from self._of_split(planned, split, what, sample, at_once)
            except UserError as error:  # this run may never need it
                yield f"{what} will not run: {error}"

    def _of_split(
        self, planned: Plan, split: str, what: str, sample: Sample, at_once: int
    ) -> Iterator[str]:
        """Yield a line if evaluation on samples like `sample` would not fit.

        Args:
          planned: the plan of the run.
          split: split of the data.
          what: name of the evaluation, for the message.
          sample: a sample of the split.
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
        """Turn an out-of-memory error in the block into a UserError with the same advice."""
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise UserError(f"out of memory on a device. {self._advice()}\n{error}") from error


def in_words(changes: Mapping[str, Any], needed: int) -> str:
    """Return a sentence that describes the result of `fitting.search`."""
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


def _with_channels(sample: Sample, batch: Mapping[str, Any]) -> Sample:
    """Return a sample whose inputs have as many channels as those of training.

    Only the data know the number of channels of features, if the config leaves it out.
    """

    def like(key: str, x: Any) -> Any:
        if key not in batch or np.ndim(x) < 2 or x.shape[-1] == batch[key].shape[-1]:
            return x
        return np.zeros((*x.shape[:-1], batch[key].shape[-1]), x.dtype)

    return {key: like(key, x) for key, x in sample.items()}
