"""Batches in memory that workers share with the process that started them.

A worker stacks into segments that are named after its stream, and sends their names. Whoever takes
one removes its name at once, so what still has a name when a stream has ended was never asked for.
What a whole process tree left that was killed at a stroke (with Python's resource tracker, which
otherwise frees it), the next stream on the machine removes.
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

FOLDER = Path("/dev/shm")  # of Linux: elsewhere segments cannot be listed
# Bytes of an array that go through the pipe. A message of more than 16 kB, or one that the pipe has
# no room for, is written in parts; for the rest of what a dead worker began one waits for ever.
SMALL = 2**9

worker_of = ""  # the stream that this process works for
_own: np.ndarray | None = None  # of the notes of that stream, its own
_numbers = itertools.count()
_NAME = re.compile(r"jaxvid_(\d+)_(\d+)_\d+_[\da-f]{8}")  # at most 30 letters, for macOS


@dataclass(frozen=True)
class Segment:
    """What a worker sends in place of an array."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


def stack(arrays: Sequence[np.ndarray]) -> np.ndarray | Segment:
    """Arrays of one shape along a new first axis; large ones of a worker in a segment."""
    shape, dtype = (len(arrays), *arrays[0].shape), np.result_type(*arrays)
    size = math.prod(shape) * dtype.itemsize
    if not worker_of or size < SMALL or dtype.hasobject:
        return np.stack(arrays)
    name = worker_of + secrets.token_hex(4)
    memory = SharedMemory(name, create=True, size=size)
    np.stack(arrays, out=SharedMemoryArray.from_shared_memory(memory, shape, dtype))
    return Segment(name, shape, dtype)


def take(sent: np.ndarray | Segment) -> np.ndarray:
    """The array that a worker sent; memory of a segment is freed with it."""
    if not isinstance(sent, Segment):
        return sent
    memory = SharedMemory(sent.name)
    memory.unlink()
    return SharedMemoryArray.from_shared_memory(memory, sent.shape, sent.dtype)


def notes(stream: str, workers: int, create: bool = False) -> np.ndarray:
    """int64 (workers,): the row of the source that each worker of a stream reads now, or -1.

    This outlives a worker that dies, and can be read while one hangs.
    """
    memory = SharedMemory(f"{stream}{0:08}", create, 8 * workers)
    found = SharedMemoryArray.from_shared_memory(memory, (workers,), np.int64)
    if create:
        found[:] = -1
    return found


def join(stream: str, index: int, count: int):
    """This process is worker `index` of `count` of a stream."""
    global worker_of, _own
    worker_of, _own = stream, notes(stream, count)[index:]


def note(row: int):
    """What a worker reads from now on; -1 when it is done."""
    if _own is not None:
        _own[0] = row


def new_stream() -> str:
    """What the names of a stream's segments start with: whose it is, and which of his."""
    return f"jaxvid_{pid_namespace()}_{os.getpid()}_{next(_numbers)}_"


def remove(stream: str):
    """Free what nobody took. Only for who made the stream, once its workers are gone."""
    for name in segments():
        if name.startswith(stream):
            with contextlib.suppress(FileNotFoundError):
                try:
                    memory = SharedMemory(name)
                except ValueError:  # still empty: its worker was killed as it made it
                    (FOLDER / name).unlink()
                    continue
                memory.close()
                memory.unlink()


def remove_dead():
    """Free what processes left that are no more."""
    for name, (where, pid) in segments().items():
        # Containers may share this memory, and each counts its processes from 1.
        if where == pid_namespace() and not _lives(pid):
            with contextlib.suppress(OSError):  # another was faster, or it is another user's
                (FOLDER / name).unlink()


def segments() -> dict[str, tuple[int, int]]:
    """{name: (namespace, process) of who made its stream}, of this machine."""
    names = os.listdir(FOLDER) if FOLDER.is_dir() else []
    return {n: (int(m[1]), int(m[2])) for n in names if (m := _NAME.fullmatch(n))}


def pid_namespace() -> int:
    """The number of the namespace in which process ids of this machine are unique; 0 if unknown."""
    with contextlib.suppress(OSError):
        return os.stat("/proc/self/ns/pid").st_ino
    return 0


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True
