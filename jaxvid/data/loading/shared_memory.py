"""Batches in shared memory, from worker processes to the process that started them.

A stream is the sequence of batches of one iterator. A worker stacks arrays into segments of shared
memory that are named after the stream, and sends their names. The receiver removes the name of a
segment at once. When a stream ends, the segments that still have a name were never received, and
are freed. If all processes are killed at once, even Python's resource tracker cannot free their
segments. Then the next stream on the same machine frees them.
"""

import contextlib
import itertools
import math
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
from grain.multiprocessing import SharedMemoryArray

FOLDER = Path("/dev/shm")  # exists on Linux only; other systems cannot list segments
# Arrays with fewer bytes are sent through the pipe. The limit is low because a message of more than
# 16 kB, or one that the pipe has no room for, is written in several parts. If the worker dies
# between them, the receiver waits for the rest forever.
SMALL = 2**9

worker_of = ""  # the stream that this worker process belongs to
_own: np.ndarray | None = None  # the entry of this worker in the notes of the stream
_numbers = itertools.count()
_NAME = re.compile(r"jaxvid_(\d+)_(\d+)_\d+_[\da-f]{8}")  # at most 30 letters, for macOS


@dataclass(frozen=True)
class Segment:
    """The message that a worker sends instead of an array."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


def stack(arrays: Sequence[np.ndarray]) -> np.ndarray | Segment:
    """Stack arrays of the same shape along a new first axis.

    In a worker, the result is a segment of shared memory, unless the array is small.
    """
    shape, dtype = (len(arrays), *arrays[0].shape), np.result_type(*arrays)
    size = math.prod(shape) * dtype.itemsize
    if not worker_of or size < SMALL or dtype.hasobject:
        return np.stack(arrays)
    name = worker_of + secrets.token_hex(4)
    memory = SharedMemory(name, create=True, size=size)
    np.stack(arrays, out=SharedMemoryArray.from_shared_memory(memory, shape, dtype))
    return Segment(name, shape, dtype)


def take(sent: np.ndarray | Segment) -> np.ndarray:
    """Return the array that a worker sent. The memory of a segment is freed with the array."""
    if not isinstance(sent, Segment):
        return sent
    memory = SharedMemory(sent.name)
    memory.unlink()
    return SharedMemoryArray.from_shared_memory(memory, sent.shape, sent.dtype)


def notes(stream: str, workers: int, create: bool = False) -> np.ndarray:
    """Return the row of the source that each worker is reading, int64 (workers,); -1 for none.

    The array is in shared memory, so it can be read when a worker hangs or has died.
    """
    memory = SharedMemory(f"{stream}{0:08}", create, 8 * workers)
    found = SharedMemoryArray.from_shared_memory(memory, (workers,), np.int64)
    if create:
        found[:] = -1
    return found


def join(stream: str, index: int, count: int):
    """Make this process worker `index` of the `count` workers of a stream."""
    global worker_of, _own
    worker_of, _own = stream, notes(stream, count)[index:]


def note(row: int):
    """Record the row that this worker starts to read; -1 when it is done."""
    if _own is not None:
        _own[0] = row


def new_stream() -> str:
    """Return the name of a new stream, made of this process and a number. Its segments start so."""
    return f"jaxvid_{pid_namespace()}_{os.getpid()}_{next(_numbers)}_"


def remove(stream: str):
    """Free the segments that were not received.

    Only the process that made the stream may call this, after its workers have ended.
    """
    for name in segments():
        if name.startswith(stream):
            with contextlib.suppress(FileNotFoundError):
                try:
                    memory = SharedMemory(name)
                except ValueError:  # an empty segment: the worker was killed while creating it
                    (FOLDER / name).unlink()
                    continue
                memory.close()
                memory.unlink()


def remove_dead():
    """Free the segments of processes that no longer exist."""
    for name, (where, pid) in segments().items():
        # Containers can share this memory, but each numbers its processes from 1.
        if where == pid_namespace() and not _lives(pid):
            with contextlib.suppress(OSError):  # already removed, or owned by another user
                (FOLDER / name).unlink()


def segments() -> dict[str, tuple[int, int]]:
    """Return the segments on this machine: {name: (process namespace, process id) of the owner}."""
    names = os.listdir(FOLDER) if FOLDER.is_dir() else []
    return {n: (int(m[1]), int(m[2])) for n in names if (m := _NAME.fullmatch(n))}


def pid_namespace() -> int:
    """Return the number of the namespace in which process ids are unique; 0 if unknown."""
    with contextlib.suppress(OSError):
        return os.stat("/proc/self/ns/pid").st_ino
    return 0


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        pass
    return True
