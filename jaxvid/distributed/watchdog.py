"""Watchdog that ends a run without progress, and reports the reason."""

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

# Beginnings of the names of environment variables that may explain a hang.
PREFIXES = ("JAX_", "XLA_", "NCCL_", "CUDA_", "SLURM_", "OMPI_", "LD_LIBRARY_PATH", "TF_")
STUCK = "jaxvid/stuck/"


class Watchdog:
    """Ends all processes if one makes no progress for too long, after printing all their stacks.

    Args:
      timeout: seconds without a `beat`; 0 turns the watchdog off.
      clock: returns seconds; it must be monotonic.
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
        """Report progress. The first call starts the watchdog.

        Args:
          doing: description of the work that follows, such as "step 12".
        """
        self._last, self._doing = self._clock(), doing
        if self._timeout and not self._thread.is_alive() and not self._over.is_set():
            self._thread.start()

    def _watch(self):
        pause = min(self._timeout / 10, 5.0)
        while not self._over.wait(pause):
            if self.check():
                # By this sign, the others print their stacks, too.
                self._over.wait(3 * pause)
                self._fail(f"no progress for {self._timeout:.0f} s in {self._doing}")

    def check(self) -> bool:
        """Return whether this process hangs. Prints its stacks if it or another process hangs."""
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
