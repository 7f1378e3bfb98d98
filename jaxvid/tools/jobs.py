"""Functions of tools that process many files: listing videos, and running one job per file.

Jobs run in worker processes. If a decoder crashes or hangs, its process is replaced, and the file
is reported as failed.
"""

import contextlib
import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from jaxvid import files, signals
from jaxvid.cli import guard
from jaxvid.data.loading import spawn
from jaxvid.data.video import video_files
from jaxvid.data.video.decode import VideoError
from jaxvid.errors import UserError

logger = logging.getLogger(__name__)

END = signal.SIGUSR2  # signal by which a process asks its workers to end
GRACE = 5.0  # seconds that a worker has to clean up before it is killed
# A forked process can hang if its parent has threads, such as those of OpenCV.
SPAWN = multiprocessing.get_context("spawn")
console = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Done:
    """The outcome of a job: a `result`, or an `error`, which is one line without the file name."""

    item: Any
    result: Any = None
    error: str = ""


def videos_below(root: Path, sounds: bool = False) -> list[Path]:
    """Return the videos below a folder, sorted, or the file `root` itself.

    The number of other files is logged.

    Args:
      sounds: whether files of sound count, too.

    Raises:
      UserError: `root` does not exist, or contains no videos.
    """
    endings = video_files.VIDEOS + (video_files.SOUNDS if sounds else ())
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise UserError(f"{root}: no such file or folder")
    below = list(video_files.walk(root))
    found = sorted(path for path in below if video_files.has_ending(path.name, endings))
    if not found:
        raise UserError(f"{root}: no videos in it (endings: {' '.join(endings)})")
    if ignored := video_files.left_out(below, endings):
        logger.info(f"{root}: left out {ignored}")
    return found


def exit_code(work: Callable[[], int]) -> int:
    """Call `work`, which returns the number of failed files, and return the exit code."""
    failed = 0

    def count():
        nonlocal failed
        failed = work()

    return guard(count) or min(failed, 1)


def run(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    what: str,
    workers: int = 0,
    timeout: float = 3600.0,
) -> Generator[Done]:
    """Call `function(item)` for all items in worker processes, and yield each outcome when done.

    A progress bar is shown. If the generator is closed early, by an error or Ctrl-C, the running
    jobs are ended, their `finally` blocks run, and the number of completed jobs is logged.

    Args:
      function: a function at the top level of a module, as are the classes of its argument and
        result.
      items: arguments of the jobs.
      what: title of the progress bar.
      workers: number of processes; 0 uses one per core.
      timeout: seconds after which a job is aborted.

    Raises:
      UserError: the number of workers is negative, or the calling script has no
        `if __name__ == "__main__":` guard.
    """
    if workers < 0:
        raise UserError(f"--workers={workers}: it must be at least 0, which is one per core")
    spawn.check_main_guard()
    todo: queue.SimpleQueue = queue.SimpleQueue()
    done: queue.SimpleQueue[Done | UserError] = queue.SimpleQueue()
    for item in items:
        todo.put(item)
    stop = threading.Event()
    threads = [
        threading.Thread(target=_drive, args=(function, todo, done, stop, timeout), daemon=True)
        for _ in range(min(workers or files.cores(), len(items)))
    ]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    count, failed, said, quiet = 0, 0, time.monotonic(), not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        bar = progress.add_task(what, total=len(items), failed="")
        try:
            signals.start_tracker()
            for thread in threads:
                thread.start()
            for _ in items:
                found = done.get()
                if isinstance(found, UserError):
                    raise found
                count += 1
                failed += bool(found.error)
                progress.update(bar, advance=1, failed=f"{failed} failed" if failed else "")
                if quiet and time.monotonic() - said > 60:
                    said = time.monotonic()
                    logger.info(f"{what}: {count:,} of {len(items):,}, {failed:,} failed")
                yield found
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            if count < len(items):
                logger.info(f"stopped after {count:,} of {len(items):,}; run it again to continue")


def _drive(function, todo, done, stop, timeout):
    """Send jobs to a worker process until none is left. It is replaced if it dies."""
    # Only the main thread reacts to stop signals. Workers inherit this mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals.STOPS)
    worker = None
    while not stop.is_set():
        try:
            item = todo.get_nowait()
        except queue.Empty:
            break
        try:
            worker = worker or _Worker(function)
            found = worker.do(item, stop, timeout)
        except UserError as error:
            found = error
        except Exception as error:  # such as no memory for a process
            found = Done(item, error=f"{type(error).__name__}: {error}")
        if worker and not worker.waiting:
            worker.end()
            worker = None
        done.put(found)
    if worker:
        worker.end()


class _Worker:
    """A process that does one job after another.

    Attributes:
      waiting: whether it waits for the next job. False if it has died or did not answer in time.
    """

    def __init__(self, function):
        self.waiting = True
        self._pipe, end = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_serve, args=(function, end), daemon=True)
        self._process.start()
        end.close()
        try:
            self._pipe.recv()  # it has started, so this time does not count for the timeout
        except EOFError:
            self._process.join()
            if self._process.exitcode == spawn.NO_GUARD:
                raise UserError(spawn.NEEDED) from None
            raise

    def do(self, item, stop: threading.Event, timeout: float) -> Done:
        self.waiting = False
        deadline = time.monotonic() + timeout
        try:
            self._pipe.send(item)
            while not self._pipe.poll(0.1):
                if stop.is_set():
                    return Done(item, error="stopped")
                if time.monotonic() > deadline:
                    return Done(item, error=f"no answer within {timeout:g} s")
            result, error = self._pipe.recv()
        except (EOFError, ConnectionError):
            return Done(item, error="the process that read it crashed")
        self.waiting = True
        return Done(item, result, error)

    def end(self):
        if self._process.pid and self._process.is_alive():
            os.kill(self._process.pid, END)
        self._process.join(GRACE)
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(function, pipe):
    """Run jobs in a worker process: receive items and send results until the parent ends."""
    cv2.setNumThreads(1)
    signal.signal(END, lambda *_: sys.exit())  # so that `finally` blocks run
    signals.die_with_parent(END)
    with contextlib.suppress(EOFError, ConnectionError):
        pipe.send("ready")
        while True:
            item = pipe.recv()
            try:
                answer = function(item), ""
            except VideoError as error:
                answer = None, error.reason
            except UserError as error:
                answer = None, str(error)
            except Exception as error:
                answer = None, f"{type(error).__name__}: {error}"
            pipe.send(answer)


if __name__ == "__main__":
    sys.exit("error: this module is not a command; `python -m jaxvid.tools` lists the commands")
