"""What the processes of a run tell each other: that they are there, and that one has failed.

They do so by the key-value store of JAX's coordination service, which lives in process 0, and not
by collectives: a process that failed or is stuck takes no part in those.
"""

import atexit
import itertools
import logging
import os
import socket
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import jax
from jax._src.distributed import global_state  # its store and barriers have no public name yet

from jaxvid import files, log, signals
from jaxvid.errors import UserError, first

logger = logging.getLogger(__name__)

GRACE = 5  # seconds for news of a failure to get around
ALIVE = "jaxvid/alive/"
HOSTS = "jaxvid/host/"
_met = threading.Event()  # all processes; before that the store does not answer
_ending = threading.Lock()  # of the one thread that ends this process
_code = 1  # with which it ends


@contextmanager
def together(stopped: type[BaseException]) -> Iterator[None]:
    """What ends one process ends all of them, and the one where it happened says so first.

    Args:
      stopped: raised by all processes alike, when they agreed to stop; only process 0 speaks.
    """
    try:
        yield
    except stopped:
        if alone():
            raise
        meet("the end", 300)  # a launcher may end the others as soon as one is gone
        if jax.process_index() == 0:
            raise
        sys.exit(130)
    except (Exception, KeyboardInterrupt) as error:
        if alone():
            raise
        if isinstance(error, KeyboardInterrupt):
            global _code
            _code = error.code if isinstance(error, signals.Stopped) else 130
            fail(str(error) or "interrupted")
        if isinstance(error, UserError):
            fail(str(error))
        # It may come of a process that is gone. If that one said why, this one ends meanwhile.
        time.sleep(GRACE)
        traceback.print_exception(error)
        fail(f"{type(error).__name__}: {error}")


def fail(message: str):
    """End all processes: this one with `message`, unless another one failed before."""
    if not alone():
        try:
            client().key_value_set("jaxvid/failing", "")
        except jax.errors.JaxRuntimeError:  # another one was first, or the store is gone
            time.sleep(GRACE)
    _ending.acquire(timeout=GRACE)
    logger.error(message)
    if not alone():
        with suppress(jax.errors.JaxRuntimeError):
            client().key_value_set("jaxvid/failed", f"{log.process()}: {message}")
    _end()


@contextmanager
def deadline(seconds: float, explain: Callable[[], str]) -> Iterator[None]:
    """All end with `explain()` if the block is not done in time, however stuck it is."""
    timer = threading.Timer(seconds, lambda: fail(explain()))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def meet(place: str, timeout: float):
    """Wait for all processes; after `timeout` seconds all end, and those not there are named."""
    here = f"jaxvid/at/{place}/"
    put(here)

    def explain():
        there, hosts = values(here), values(HOSTS)
        late = [p for p in range(global_state.num_processes) if p not in there]
        names = [f"process {p} ({hosts.get(p, 'unknown host')})" for p in late]
        return f"waited {timeout:.0f} s at {place} for {', '.join(first(names, 8))}"

    everyone = f"jaxvid/all at/{place}"
    with deadline(timeout, explain):
        # The client's own barrier would keep the thread of the deadline from running.
        while global_state.process_id == 0 and len(values(here)) < global_state.num_processes:
            time.sleep(0.1)
        if global_state.process_id == 0:
            client().key_value_set(everyone, "")
        client().blocking_key_value_get(everyone, int((timeout + 60) * 1000))


def agreed(what: str, step: int, wish: bool, lead: int = 1) -> bool:
    """Return whether all processes do something at this step; all ask at every step.

    It is done `lead` steps after the first wish, so that all processes have read it by then.

    Args:
      lead: one more than the number of steps that a process may begin before it has waited for a
        step that needs all processes.
    """
    if alone():
        return wish
    key = f"jaxvid/agreed/{what}"
    if wish:
        with suppress(jax.errors.JaxRuntimeError):  # another wish was first
            client().key_value_set(key, str(step + lead))
    try:
        return step >= int(client().key_value_try_get(key))
    except jax.errors.JaxRuntimeError:  # no wish yet
        return False


def listen(patience: float):
    """All processes have met; from now on this one ends when another fails, or is lost.

    Args:
      patience: seconds without a sign of life. Process 0 hears of all the others, they of it.
    """
    _met.set()
    over, silence = threading.Event(), Counter()
    threads = [
        threading.Thread(
            target=hear_failures, args=(over, silence, patience), name="failures of peers"
        ),
        threading.Thread(
            target=give_signs, args=(over, silence, patience / 10), name="signs of life"
        ),
    ]
    for thread in threads:
        thread.daemon = True
        thread.start()

    @atexit.register
    def _():  # Python cannot end while a thread is inside the client
        over.set()
        for thread in threads:
            thread.join()


def put(folder: str, value: str = ""):
    """Tell the others `value`, under FOLDER/ and the number of this process."""
    client().key_value_set(f"{folder}{global_state.process_id}", value)


def compared(what: str, value: float) -> dict[int, float]:
    """The last `value` of each process that has one, by its number; nobody waits for the others."""
    if alone():
        return {}
    folder = f"jaxvid/last {what}/"
    client().key_value_set(f"{folder}{global_state.process_id}", str(value), allow_overwrite=True)
    return {process: float(text) for process, text in values(folder).items()}


def values(folder: str) -> dict[int, str]:
    """Return what processes have put there, by their number."""
    return {int(k.rsplit("/")[-1]): v for k, v in client().key_value_dir_get(folder)}


def workers(wanted: int) -> int:
    """Return the number of data workers of this process.

    Args:
      wanted: their number, or -1 for one per core. Processes on one host share its cores, unless
        each is bound to some of them.
    """
    if wanted >= 0:
        return wanted
    if alone() or files.is_bound():
        return files.cores()
    return max(1, files.cores() // list(values(HOSTS).values()).count(socket.gethostname()))


def client() -> Any:
    return global_state.client


def alone() -> bool:
    return not _met.is_set() or global_state.num_processes == 1


def hear_failures(over: threading.Event, silence: Counter[int], patience: float):
    """End this process when another one fails, or is silent for `patience` rounds of a second."""
    message = ""
    while not message:
        try:
            message = client().blocking_key_value_get("jaxvid/failed", 1000)
        except jax.errors.JaxRuntimeError as error:
            # Otherwise process 0 is gone, and JAX ends this one.
            if over.is_set() or "DEADLINE_EXCEEDED" not in str(error):
                return
            # Rounds of a second, not the time: one that was halted itself has heard nobody.
            for process in list(silence):
                silence[process] += 1
                if silence[process] > patience:
                    lose(process, patience)
    _ending.acquire()
    logger.error("ends, as " + message.splitlines()[0][:300])
    _end()


def give_signs(over: threading.Event, silence: Counter[int], pause: float):
    """Give signs of life, and note whose have come: `silence` counts from there."""
    key, last = f"{ALIVE}{global_state.process_id}", {}
    for count in itertools.count():
        with suppress(jax.errors.JaxRuntimeError):
            # Without a network this waits for ever.
            client().key_value_set(key, str(count), allow_overwrite=True)
            signs = values(ALIVE) if global_state.process_id == 0 else {0: str(count)}
            for process in signs:
                if signs[process] != last.get(process):
                    silence[process] = 0
            for process in silence.keys() - signs.keys():  # which has ended well
                del silence[process]
            last = signs
        if over.wait(pause):
            break
    with suppress(jax.errors.JaxRuntimeError):
        client().key_value_delete(key)


def lose(process: int, patience: float):
    """End this process, and all others that can be reached, as one gave no sign of life."""
    why = f"for {patience:.0f} s: it is gone, or stuck, or the network between is cut"
    if process:
        host = values(HOSTS).get(process, "unknown host")
        fail(f"process {process} ({host}) gave no sign of life {why}")
    # Nobody is there to be told.
    _ending.acquire(timeout=GRACE)
    logger.error(f"process 0 at {global_state.coordinator_address} did not answer {why}")
    os._exit(1)


def _end():
    try:
        sys.stdout.flush()
        if not alone():
            put("jaxvid/ended/")
            limit = time.monotonic() + GRACE
            # The others hear of it from process 0, which goes last.
            while global_state.process_id == 0 and time.monotonic() < limit:
                time.sleep(0.2)
                if len(values("jaxvid/ended/")) == global_state.num_processes:
                    break
            time.sleep(0.3)  # from their last word to their end
    finally:
        os._exit(_code)
