"""Communication between the processes of a run: signs of life, failures and agreements.

It uses the key-value store of JAX's coordination service, which runs in process 0, and no
collectives, because a process that failed or hangs does not take part in those.
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
from jax._src.distributed import global_state  # its store and barriers are not public yet

from jaxvid import files, log, signals
from jaxvid.errors import UserError, first

logger = logging.getLogger(__name__)

GRACE = 5  # seconds until all processes have learned of a failure
ALIVE = "jaxvid/alive/"
HOSTS = "jaxvid/host/"
_met = threading.Event()  # set when all processes have met; before, the store does not answer
_ending = threading.Lock()  # held by the thread that ends this process
_code = 1  # exit code


@contextmanager
def together(stopped: type[BaseException]) -> Iterator[None]:
    """End all processes if the block raises an error in one of them, which first reports it.

    Args:
      stopped: exception that all processes raise when they agreed to stop; only process 0 reports.
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
        # The cause may be a process that has ended. If it reported why, this one ends meanwhile.
        time.sleep(GRACE)
        traceback.print_exception(error)
        fail(f"{type(error).__name__}: {error}")


def fail(message: str):
    """End all processes, with `message` from this one unless another one failed before."""
    if not alone():
        try:
            client().key_value_set("jaxvid/failing", "")
        except jax.errors.JaxRuntimeError:  # another process was first, or the store has ended
            time.sleep(GRACE)
    _ending.acquire(timeout=GRACE)
    logger.error(message)
    if not alone():
        with suppress(jax.errors.JaxRuntimeError):
            client().key_value_set("jaxvid/failed", f"{log.process()}: {message}")
    _end()


@contextmanager
def deadline(seconds: float, explain: Callable[[], str]) -> Iterator[None]:
    """End all processes with the message `explain()` if the block takes longer than `seconds`.

    This works even if the main thread hangs.
    """
    timer = threading.Timer(seconds, lambda: fail(explain()))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def meet(place: str, timeout: float):
    """Wait for all processes. After `timeout` seconds all end, with the names of missing ones."""
    here = f"jaxvid/at/{place}/"
    put(here)

    def explain():
        there, hosts = values(here), values(HOSTS)
        late = [p for p in range(global_state.num_processes) if p not in there]
        names = [f"process {p} ({hosts.get(p, 'unknown host')})" for p in late]
        return f"waited {timeout:.0f} s at {place} for {', '.join(first(names, 8))}"

    everyone = f"jaxvid/all at/{place}"
    with deadline(timeout, explain):
        # A long wait in the client's barrier would keep the thread of the deadline from running.
        while global_state.process_id == 0 and len(values(here)) < global_state.num_processes:
            time.sleep(0.1)
        if global_state.process_id == 0:
            client().key_value_set(everyone, "")
        client().blocking_key_value_get(everyone, int((timeout + 60) * 1000))


def agreed(what: str, step: int, wish: bool, lead: int = 1) -> bool:
    """Return whether all processes do something at this step. All must call this at every step.

    It is done `lead` steps after the first process asked for it, when all processes know of it.

    Args:
      what: name of the action.
      step: the current step.
      wish: ask for the action.
      lead: one more than the number of steps that a process may begin before it has waited for a
        step that needs all processes.
    """
    if alone():
        return wish
    key = f"jaxvid/agreed/{what}"
    if wish:
        with suppress(jax.errors.JaxRuntimeError):  # another process was first
            client().key_value_set(key, str(step + lead))
    try:
        return step >= int(client().key_value_try_get(key))
    except jax.errors.JaxRuntimeError:  # no process has asked for it
        return False


def listen(patience: float):
    """Start to watch the other processes: this one ends if another one fails or is lost.

    To be called when all processes have met.

    Args:
      patience: seconds without a sign of life after which a process is lost. Process 0 watches all
        others, and they watch process 0.
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
    """Store `value` for the other processes, under FOLDER/ and the number of this process."""
    client().key_value_set(f"{folder}{global_state.process_id}", value)


def compared(what: str, value: float) -> dict[int, float]:
    """Store a value, and return {process number: its last value}, without waiting for others."""
    if alone():
        return {}
    folder = f"jaxvid/last {what}/"
    client().key_value_set(f"{folder}{global_state.process_id}", str(value), allow_overwrite=True)
    return {process: float(text) for process, text in values(folder).items()}


def values(folder: str) -> dict[int, str]:
    """Return {process number: value} of the values that processes stored with `put`."""
    return {int(k.rsplit("/")[-1]): v for k, v in client().key_value_dir_get(folder)}


def workers(wanted: int) -> int:
    """Return the number of data workers of this process.

    Args:
      wanted: number of workers, or -1 for one per core. Processes on one host share its cores,
        unless each is bound to some of them.
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
    """End this process if another one fails, or gives no sign of life for `patience` seconds."""
    message = ""
    while not message:
        try:
            message = client().blocking_key_value_get("jaxvid/failed", 1000)
        except jax.errors.JaxRuntimeError as error:
            # Otherwise process 0 is gone, and JAX ends this one.
            if over.is_set() or "DEADLINE_EXCEEDED" not in str(error):
                return
            # Rounds of a second are counted, because a process that was suspended itself has
            # received no signs of life in that time.
            for process in list(silence):
                silence[process] += 1
                if silence[process] > patience:
                    lose(process, patience)
    _ending.acquire()
    logger.error("ends, as " + message.splitlines()[0][:300])
    _end()


def give_signs(over: threading.Event, silence: Counter[int], pause: float):
    """Give signs of life, and reset the counter in `silence` of each process that gave one."""
    key, last = f"{ALIVE}{global_state.process_id}", {}
    for count in itertools.count():
        with suppress(jax.errors.JaxRuntimeError):
            # Without a network this never returns.
            client().key_value_set(key, str(count), allow_overwrite=True)
            signs = values(ALIVE) if global_state.process_id == 0 else {0: str(count)}
            for process in signs:
                if signs[process] != last.get(process):
                    silence[process] = 0
            for process in silence.keys() - signs.keys():  # these have ended without an error
                del silence[process]
            last = signs
        if over.wait(pause):
            break
    with suppress(jax.errors.JaxRuntimeError):
        client().key_value_delete(key)


def lose(process: int, patience: float):
    """End this process, and all others that can be reached, because one gave no sign of life."""
    why = f"for {patience:.0f} s: it is gone, or stuck, or the network between is cut"
    if process:
        host = values(HOSTS).get(process, "unknown host")
        fail(f"process {process} ({host}) gave no sign of life {why}")
    # Nobody else can be informed.
    _ending.acquire(timeout=GRACE)
    logger.error(f"process 0 at {global_state.coordinator_address} did not answer {why}")
    os._exit(1)


def _end():
    try:
        sys.stdout.flush()
        if not alone():
            put("jaxvid/ended/")
            limit = time.monotonic() + GRACE
            # The others learn of it from process 0, so it ends last.
            while global_state.process_id == 0 and time.monotonic() < limit:
                time.sleep(0.2)
                if len(values("jaxvid/ended/")) == global_state.num_processes:
                    break
            time.sleep(0.3)  # from the last message of the others to their end
    finally:
        os._exit(_code)
