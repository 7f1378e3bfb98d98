"""A run that makes no progress ends with the reason instead of waiting for ever."""

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import jax

from jaxvid.distributed import peers

logger = logging.getLogger(__name__)

# Parts of the environment that a hang may come of.
PREFIXES = ("JAX_", "XLA_", "NCCL_", "CUDA_", "SLURM_", "OMPI_", "LD_LIBRARY_PATH", "TF_")
STUCK = "jaxvid/stuck/"


class Watchdog:
    """Ends all processes when one has made no step for too long, with the stacks of every one.

    Args:
      timeout: seconds without a `beat`; 0 watches nothing.
      clock: monotonic, so that a wall clock that jumps means nothing.
      fail: ends the run with a message.
    """

    def __init__(
        self,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        fail: Callable[[str], None] = peers.fail,
    ):
        self._timeout, self._clock, self._fail = timeout, clock, fail
        self._last, self._doing = clock(), "the start"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        return self

    def __exit__(self, *_):
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def beat(self, doing: str):
        """There is progress; what follows is `doing`, such as "step 12". The first starts it."""
        self._last, self._doing = self._clock(), doing
        if self._timeout and not self._thread.is_alive() and not self._over.is_set():
            self._thread.start()

    def _watch(self):
        pause = min(self._timeout / 10, 5.0)
        while not self._over.wait(pause):
            if self.check():
                # The others see by the same sign that it is time to show their stacks.
                self._over.wait(3 * pause)
                self._fail(f"no progress for {self._timeout:.0f} s in {self._doing}")

    def check(self) -> bool:
        """Whether this process is stuck; shows its stacks when it, or another one, is."""
        silent = self._clock() - self._last
        stuck, others = silent > self._timeout, []
        if not peers.alone():
            with suppress(jax.errors.JaxRuntimeError):
                if stuck:
                    peers.put(STUCK, self._doing)
                others = sorted(peers.values(STUCK))
        if stuck or others:
            who = "here" if stuck else f"on process {others[0]}"
            found = [f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(PREFIXES)]
            stuck_line = f"stuck {who}; in {self._doing} for {silent:.0f} s"
            logger.error("\n  ".join([stuck_line, *found]))
            faulthandler.dump_traceback(sys.__stderr__ or 2)
        return stuck or bool(others)
