"""Atomic writing, file locks, the cache folder, and CPU cores.

Locks are `flock` on an open file. The system releases such a lock when its process ends in any way.
NFS clients on Linux forward it to the server, so it works between hosts, too. (The library
`filelock` does the same, but does not report who holds a lock.)
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from jaxvid.errors import UserError

logger = logging.getLogger(__name__)

FIXES = {
    errno.ENOSPC: "make room there, or name a place on another disk",
    errno.EDQUOT: "make room there, or name a place on another disk",
    errno.EEXIST: "a file is in the way of this folder; name another place",
    errno.ENOTDIR: "a file is in the way of this folder; name another place",
    errno.EISDIR: "this is a folder; name a file",
}
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # never an error of the program
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)


def cache_root() -> Path:
    """Return the folder of files that can be made again: $JAXVID_CACHE, else ~/.cache/jaxvid.

    Raises:
      UserError: the user has no home folder, as in a container that runs under any number.
    """
    try:
        return Path(os.environ.get("JAXVID_CACHE") or Path.home() / ".cache" / "jaxvid")
    except RuntimeError:
        raise UserError(
            "no cache folder: this user has no home folder; set JAXVID_CACHE to a folder"
        ) from None


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def is_bound() -> bool:
    """Return whether this process may use only some of the cores of the machine."""
    return cores() < (os.cpu_count() or 1)


# Writing


@contextlib.contextmanager
def explained(path: str | os.PathLike) -> Iterator[None]:
    """Turn an OSError of writing to `path` into a UserError that names the path and the fix."""
    try:
        yield
    except BrokenPipeError:  # the terminal was closed
        raise
    except OSError as error:
        raise UserError(explain(error, path)) from error


def explain(error: OSError, path: str | os.PathLike) -> str:
    """Return a line with the reason why `path` could not be written, and the fix."""
    denied = "name a place where you may write" if error.errno in DENIED else ""
    fix = FIXES.get(error.errno or 0, denied)
    reason = f"{path}: cannot write there ({error.strerror or error})"
    return f"{reason}; {fix}" if fix else reason


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which replaces `path` when the block ends without an error.

    It is a hidden file in the same folder, with the same suffix. After an error it is removed.
    """
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str):
    """Write or replace a text file atomically."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def probe(folder: Path) -> bool:
    """Check before long work that `folder` can be written to, or made. This leaves no files.

    Returns:
      True if file names on its file system are not case-sensitive.

    Raises:
      UserError: `folder` is a file, is in a place that cannot be written to, or on a full disk.
    """
    with explained(folder):
        there = folder.absolute()
        while not there.exists() and there != there.parent:
            there = there.parent
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        with tempfile.NamedTemporaryFile(prefix=".jaxvid-", dir=there) as file:
            file.write(b"\0")
            file.flush()
            name = Path(file.name)
            return name.with_name(name.name.upper()).exists()


def probe_file(path: str | os.PathLike | None, inputs: Iterable[str | os.PathLike] = ()):
    """Check before long work that a file can be written.

    Args:
      path: the file; None for no file.
      inputs: files that the work reads, which it must not replace.

    Raises:
      UserError: `path` is a folder or an input, or its folder does not exist or cannot be written
        to.
    """
    if path is None:
        return
    path = Path(path)
    if any(os.path.exists(file) and path.exists() and path.samefile(file) for file in inputs):
        raise UserError(f"{path}: this is an input; write to another file")
    if path.is_dir():
        raise UserError(f"{path}: this is a folder; name a file")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}")
    probe(path.parent)


# Locks


@contextlib.contextmanager
def locked(path: Path, what: Path, *, fix: str = "") -> Iterator[bool]:
    """Hold a lock while the block runs.

    Args:
      path: the lock file, in an existing folder.
      what: the file or folder that the lock protects.
      fix: advice for an error if another process holds the lock. Without it, this process waits.

    Yields:
      True if the lock is held; False on file systems without locks, such as some network ones.

    Raises:
      UserError: another process holds the lock; the message has its host, number and start time.
    """
    with explained(path):
        file = path.open("a+", encoding="utf-8")
    with file:
        held = _lock(file, fcntl.LOCK_NB)
        if held is False:
            owner = f"{what} is in use by {_owner(path)}"
            if fix:
                raise UserError(f"{owner}; {fix}")
            logger.info(f"waiting: {owner}")
            held = _lock(file, 0)
        if held:
            began = time.strftime("%Y-%m-%d %H:%M:%S")
            with explained(path):
                file.truncate(0)
                json.dump({"host": socket.gethostname(), "pid": os.getpid(), "since": began}, file)
                file.flush()
        try:
            yield bool(held)
        finally:
            if held:  # also for a process that was just started and still shares the file
                fcntl.flock(file, fcntl.LOCK_UN)


@contextlib.contextmanager
def hold(folder: Path, *, fix: str, name: str = ".lock") -> Iterator[None]:
    """Create a folder, and lock it against other processes while the block runs.

    Args:
      folder: the folder.
      fix: alternative for the user if another process uses the folder.
      name: name of the lock file in the folder.

    Raises:
      UserError: another process uses the folder (the message has its host and number), or the
        folder cannot be written to.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    probe(folder)
    with locked(folder / name, folder, fix=fix) as held:
        if not held:
            logger.warning(f"{folder}: no locks on this file system; let nothing else write there")
        yield


def _lock(file: IO, flags: int) -> bool | None:
    """Return whether the lock was free; None if the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | flags)
    except (BlockingIOError, PermissionError):  # the type depends on the file system
        return False
    except OSError:
        return None
    return True


def _owner(path: Path) -> str:
    """Return a description of the process that holds a lock, from the content of its file."""
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has not written its description yet
        return "another process"
