"""What tools over many files share: finding and reading them, one job a file in many processes.

A file can do no more harm than fail: a decoder that crashes or hangs takes down one process, which
is replaced, and the file is reported.
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

END = signal.SIGUSR2  # by which a process asks its workers to end
GRACE = 5.0  # seconds to clean up when asked to end
# A forked copy of a process with threads, such as OpenCV's, may hang.
SPAWN = multiprocessing.get_context("spawn")
console = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Done:
    """What became of one job: a `result`, or the `error`, one line that does not name the file."""

    item: Any
    result: Any = None
    error: str = ""


def videos_below(root: Path) -> list[Path]:
    """The videos below a folder, sorted, as training finds them; or the file `root` itself.

    Prints how many other files there are.

    Raises:
      UserError: it does not exist, or there are none.
    """
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise UserError(f"{root}: no such file or folder")
    below = list(video_files.walk(root))
    found = sorted(path for path in below if video_files.has_ending(path.name))
    if not found:
        raise UserError(f"{root}: no videos in it (endings: {' '.join(video_files.VIDEOS)})")
    if ignored := video_files.left_out(below):
        logger.info(f"{root}: left out {ignored}")
    return found


def exit_code(work: Callable[[], int]) -> int:
    """Call `work`, which returns how many files failed, and return the exit code of the command."""
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
    """`function(item)` of every item in worker processes, as they are done, with a progress bar.

    Left early, by an error or Ctrl-C, it ends the jobs under way, whose `finally` blocks run, and
    says how far it came.

    Args:
      function: at the top level of a module, as are the classes of its argument and result.
      what: title of the bar.
      workers: processes; 0 is one a core.
      timeout: seconds that a job may take before it is given up.

    Raises:
      UserError: called by a script that starts its work whenever it is imported.
    """
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
                logger.info(f"stopped after {count:,} of {len(items):,}; run it again to go on")


def _drive(function, todo, done, stop, timeout):
    """A thread that keeps one worker process busy, and starts another when it dies."""
    # Processes inherit it: what asks to stop is for the main thread of this one only.
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
        except Exception as error:  # no memory for a process, say
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
      waiting: for the next job; not so when it died or did not answer.
    """

    def __init__(self, function):
        self.waiting = True
        self._pipe, end = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_serve, args=(function, end), daemon=True)
        self._process.start()
        end.close()
        try:
            self._pipe.recv()  # it is up: the time that takes is not the job's
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
    """The life of a worker process: items in, (result, error) out, until the parent ends."""
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
