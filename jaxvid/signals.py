"""Handling of signals that ask a command to stop.

A scheduler, a launcher or a closed terminal sends them to all processes of a command at once. The
main process handles them. Data workers and other helper processes ignore them from their first
instruction, and end when the main process ends.
"""

import ctypes
import errno
import multiprocessing
import os
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
SAME = 1.0  # seconds in which repeated signals, from launchers and shells, count as one
PATIENCE = 10.0  # seconds for `raising` to leave its block
# Modules that an exception must not interrupt. An import of an extension module may abort the
# process. The event loop with which Orbax reads and writes checkpoints closes, and the threads that
# report to it print errors.
FRAGILE = frozenset({"importlib._bootstrap", "_frozen_importlib", "asyncio.base_events"})


class Stopped(KeyboardInterrupt):
    """A signal asked this process to stop.

    Attributes:
      code: exit code of the process.
    """

    def __init__(self, message: str, code: int = 130):
        super().__init__(message)
        self.code = code


@contextmanager
def caught(act: Callable[[int], None], wake: int = -1) -> Iterator[Callable[[], None]]:
    """Call `act(number)` in the main thread when the first signal of STOPS comes.

    Signals that follow within a second are ignored. A later one ends this process at once, as if it
    were not caught. If the process was started to ignore hangups, as by nohup, they stay ignored.
    Only the main thread can catch signals; in other threads this does nothing.

    Args:
      act: function of the number of the signal.
      wake: a file descriptor that gets the number of each signal as a byte, even while the main
        thread computes outside of Python.

    Yields:
      A function to call before a next signal should be handled like the first.
    """
    first: list[float] = []
    if threading.current_thread() is not threading.main_thread():
        yield first.clear
        return

    def handle(number: int, _):
        if number == signal.SIGHUP:
            leave_dead_terminal()
        now = time.monotonic()
        if not first:
            first.append(now)
            act(number)
        elif now - first[0] > SAME:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    before = {number: signal.getsignal(number) for number in STOPS}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]
    woken = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        for number in before:
            signal.signal(number, handle)
        yield first.clear
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)


@contextmanager
def raising(message: str = "", code: int = 0) -> Iterator[None]:
    """Raise `Stopped` in the main thread when a signal comes.

    An error that follows in the block, such as that of a helper process that the signal killed,
    becomes `Stopped`, too. While the main thread runs code of `FRAGILE`, the exception waits. If
    the block is not left within `PATIENCE` seconds, because the main thread waits or computes
    outside of Python, the message is printed and the process ends.

    Args:
      message: message of `Stopped`; the default names the signal.
      code: exit code of `Stopped`; the default is the exit code of a shell for the signal.
    """
    came: list[int] = []
    missed = threading.Event()  # set if `Stopped` was not raised, or was swallowed
    main = threading.get_ident()

    def stopped(number: int) -> Stopped:
        sent = signal.Signals(number)
        words = "interrupted" if sent is signal.SIGINT else f"stopped by {sent.name}"
        return Stopped(message or words, code or 128 + number)

    def act(number: int):
        came.append(number)
        if not _is_fragile():
            raise stopped(number)
        missed.set()

    def repeat(number: int):
        if missed.is_set():
            missed.clear()
            again()
            signal.pthread_kill(main, number)

    with _hurried(stopped, repeat) as wake, caught(act, wake) as again, _finalizers(missed):
        try:
            yield
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EIO:
                time.sleep(0.1)  # a closed terminal refuses text before its signal arrives
            if came:
                raise stopped(came[0]) from error
            raise


def _is_fragile() -> bool:
    """Return whether this thread runs code of `FRAGILE`."""
    frame = sys._getframe()
    while frame and frame.f_globals.get("__name__") not in FRAGILE:
        frame = frame.f_back
    return frame is not None


@contextmanager
def _finalizers(missed: threading.Event) -> Iterator[None]:
    """Set `missed` when a finalizer swallows `Stopped`."""
    show = sys.unraisablehook

    def unraisable(failed):
        if isinstance(failed.exc_value, Stopped):
            missed.set()
        else:
            show(failed)

    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        sys.unraisablehook = show


@contextmanager
def _hurried(stopped: Callable[[int], Stopped], repeat: Callable[[int], None]) -> Iterator[int]:
    """End the process if the block is not left soon after a signal.

    Args:
      stopped: returns the exception for a signal, whose message is printed.
      repeat: called with the number of the signal, again and again, until the block is left.

    Yields:
      A file descriptor that takes the numbers of signals as bytes.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    left = threading.Event()

    def watch():
        while number := os.read(read, 1):
            if number[0] in STOPS:
                wait(number[0])

    def wait(number: int):
        limit = time.monotonic() + PATIENCE
        while not left.wait(0.05):
            repeat(number)
            if time.monotonic() > limit:
                error = stopped(number)
                with suppress(OSError):
                    os.write(2, f"{error}\n".encode())
                os._exit(error.code)

    thread = threading.Thread(target=watch, name="signals", daemon=True)
    thread.start()
    try:
        yield write
    finally:
        left.set()
        os.close(write)
        thread.join()
        os.close(read)


def leave_dead_terminal():
    """Redirect the streams of a closed terminal to the null device. Writing to it is an error."""
    for stream in (0, 1, 2):
        try:
            termios.tcgetattr(stream)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, stream)
                os.close(null)


@contextmanager
def blocked() -> Iterator[None]:
    """Block STOPS in this thread, and in threads and processes that are started in the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_tracker():
    """Start Python's resource tracker, which frees the shared memory of processes that were killed.

    The tracker ignores STOPS. To be called before processes are started in `blocked`, because older
    versions of Python unblock signals when the tracker starts.
    """
    # It prints a warning when it frees the shared memory of a process that was killed.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
    with blocked():
        resource_tracker.ensure_running()


def ignore():
    """Ignore STOPS in this process. The parent process handles them."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def die_with_parent(number: int = signal.SIGKILL):
    """Send signal `number` to this worker process when the thread that started it ends.

    It works on Linux only. On other systems, workers notice the end of their parent by other means.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, number)
    parent = multiprocessing.parent_process()
    if parent and os.getppid() != parent.pid:  # it ended before the call above
        os._exit(1)
